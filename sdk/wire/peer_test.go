package wire

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func drawMetaMember(t *rapid.T, _ string) MetaMember {
	return MetaMember{drawU64(t, "replica"), drawID(t, "member"), drawString(t, "addr")}
}

const goldenMetaMembers = "02 0000000000000001 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 03 613a31 0102030405060708 00000000000000000000000000000000 00"

var peerFormats = []*format{
	formatOf("PingBody", AppendPingBody, DecodePingBody, func(t *rapid.T) PingBody { return PingBody{drawU64(t, "have"), drawBool(t, "sizes")} },
		golden{"0102030405060708 01", PingBody{0x0102030405060708, true}}, golden{"0000000000000001 00", PingBody{Have: 1}}).ending(open),
	formatOf("PingResult", pointed(AppendPingResult), DecodePingResult,
		func(t *rapid.T) PingResult {
			return PingResult{drawBool(t, "clock set"), drawI64(t, "clock"), drawI64(t, "wall"), drawU32(t, "replicas"), drawU64(t, "version"),
				drawBool(t, "changed"), drawList(t, "owned", 10, func(t *rapid.T, _ string) Owned { return Owned{drawU32(t, "partition"), drawU64(t, "epoch")} }),
				drawBool(t, "unknown"), drawBool(t, "noMetaReplica"), drawU64(t, "limit"), drawU64(t, "used"), drawU64(t, "expected"), drawU32(t, "no room"),
				drawList(t, "size", 10, func(t *rapid.T, _ string) PartitionSize {
					return PartitionSize{drawU32(t, "partition"), drawU64(t, "bytes")}
				}), drawU64(t, "nats")}
		},
		golden{"03 0102030405060708 ffffffffffffffff 00000003 0000000000000009 01 0000010e 1112131415161718 8001 7f 05 00000006 01 00000007 8101 2122232425262728",
			PingResult{ClockSet: true, Clock: 0x0102030405060708, Wall: -1, Replicas: 3, Version: 9, Changed: true, Owned: []Owned{{270, 0x1112131415161718}},
				Limit: 128, Used: 127, Expected: 5, NoRoom: 6, Sizes: []PartitionSize{{7, 129}}, NATS: 0x2122232425262728}},
		golden{"04 0000000000000000 0000000000000001 00000000 0000000000000000 00 00 00 00 00000000 00 0000000000000000",
			PingResult{Wall: 1, Owned: []Owned{}, Unknown: true, Sizes: []PartitionSize{}}},
		golden{"08 0000000000000000 0000000000000001 00000000 0000000000000000 00 00 00 00 00000000 00 0000000000000000",
			PingResult{Wall: 1, Owned: []Owned{}, NoMetaReplica: true, Sizes: []PartitionSize{}}}).ending(open).newest(8),
	formatOf("JoinResult", pointed(AppendJoinResult), DecodeJoinResult,
		func(t *rapid.T) JoinResult {
			return JoinResult{drawU64(t, "generation"), drawU64(t, "replica"), drawList(t, "metadata member", 5, drawMetaMember)}
		},
		golden{"0000000000000002 0000000000000007" + goldenMetaMembers, JoinResult{2, 7, []MetaMember{{1, testID(0xa0), "a:1"}, {Replica: 0x0102030405060708}}}}),
	formatOf("JoinBody", AppendJoinBody, DecodeJoinBody,
		func(t *rapid.T) JoinBody {
			return JoinBody{drawU64(t, "generation"), drawU64(t, "gone"), rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "registration")}
		},
		golden{"0000000000000002 0000000000000007 02 0104", JoinBody{2, 7, []byte{1, 4}}}).ending(open),
	formatOf("MetaMembers", AppendMetaMembers, DecodeMetaMembers, func(t *rapid.T) []MetaMember { return drawList(t, "metadata member", 5, drawMetaMember) },
		golden{goldenMetaMembers, []MetaMember{{1, testID(0xa0), "a:1"}, {Replica: 0x0102030405060708}}}, golden{"00", []MetaMember{}}),
}

func TestPeerFormats(t *testing.T) { testFormats(t, peerFormats) }

// A member of an earlier version leaves out what was added.
func TestPingResultOfAnEarlierVersion(t *testing.T) {
	want := PingResult{Wall: 1, Owned: []Owned{}, Sizes: []PartitionSize{{7, 129}}}
	b := AppendPingResult(nil, &want)
	if got, err := DecodePingResult(b[:len(b)-8]); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read as %+v, %v; want %+v", got, err, want)
	}
}

func FuzzPeerFormats(f *testing.F) { fuzzFormats(f, peerFormats) }

func TestPeerFormatsAllocateByWhatIsThere(t *testing.T) {
	peerFormats[1].testList(t, make([]byte, 29), make([]byte, 12), make([]byte, 8))
	peerFormats[1].testList(t, make([]byte, 37), make([]byte, 5), nil)
	peerFormats[2].testList(t, make([]byte, 16), make([]byte, 25), nil)
	peerFormats[4].testList(t, nil, make([]byte, 25), nil)
}
