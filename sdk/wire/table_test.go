package wire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawMember(t *rapid.T, _ string) MemberInfo {
	m := MemberInfo{ID: drawID(t, "id"), Incarnation: drawID(t, "incarnation"), Name: drawString(t, "name"), Addr: drawString(t, "addr"),
		PeerAddr: drawString(t, "peer addr"), Zone: drawString(t, "zone"), State: drawString(t, "state"), Version: drawString(t, "version")}
	if tags := rapid.MapOfN(rapid.String(), rapid.String(), 0, 12).Draw(t, "tags"); len(tags) > 0 {
		m.Tags = tags
	}
	return m
}

func drawTable(t *rapid.T) *Table {
	v := &Table{Version: drawU64(t, "version"), Meta: drawU64(t, "meta"), Cluster: drawID(t, "cluster"), Name: drawString(t, "name"),
		Members: drawList(t, "member", 4, drawMember)}
	v.Partitions = drawList(t, "partition", 8, func(t *rapid.T, _ string) PartitionRoute {
		p := PartitionRoute{Epoch: drawU64(t, "epoch"), Owner: NoOwner, Replicas: []uint16{}}
		if n := len(v.Members); n > 0 {
			place := func(t *rapid.T, label string) uint16 { return uint16(rapid.IntRange(0, n-1).Draw(t, label)) }
			p.Replicas = drawList(t, "replica", 3, place)
			if drawBool(t, "owned") {
				p.Owner = place(t, "owner")
			}
		}
		return p
	})
	return v
}

func drawStatus(t *rapid.T) Status {
	s := Status{ID: drawID(t, "id"), Name: drawString(t, "name"), State: drawString(t, "state"), Safe: drawBool(t, "safe"),
		Versions: drawList(t, "version", 3, drawString), Skew: drawU32(t, "skew"), OutOfStep: drawU32(t, "out of step"), MetadataLed: drawBool(t, "led"),
		Reason: drawString(t, "reason")}
	for _, n := range s.numbers() {
		*n = drawU32(t, "number")
	}
	return s
}

var goldenMember = MemberInfo{ID: testID(0xa0), Incarnation: testID(0xc0), Name: "m1", Addr: "a:1", PeerAddr: "a:2", Zone: "z", State: "ready", Version: "v1",
	Tags: map[string]string{"disk": "ssd", "b": ""}}

const goldenMemberBytes = `a0a1a2a3a4a5a6a7a8a9aaabacadaeaf c0c1c2c3c4c5c6c7c8c9cacbcccdcecf 02 6d31 03 613a31 03 613a32 01 7a 05 7265616479 02 7631
	02 01 62 00 04 6469736b 03 737364`

var viewFormats = []*format{
	formatOf("MemberInfo", pointed(AppendMemberInfo), reader(DecodeMemberInfo), func(t *rapid.T) MemberInfo { return drawMember(t, "") },
		golden{goldenMemberBytes, goldenMember}, golden{strings.Repeat("00", 39), MemberInfo{}}),
	formatOf("Table", AppendTable, DecodeTable, drawTable,
		golden{"0102030405060708 1112131415161718 000102030405060708090a0b0c0d0e0f 04 67726964 02" + goldenMemberBytes + strings.Repeat("00", 39) +
			"02 2122232425262728 0001 02 0001 0000  0000000000000000 ffff 00",
			&Table{Version: 0x0102030405060708, Meta: 0x1112131415161718, Cluster: testID(0), Name: "grid", Members: []MemberInfo{goldenMember, {}},
				Partitions: []PartitionRoute{{0x2122232425262728, 1, []uint16{1, 0}}, {0, NoOwner, []uint16{}}}}}),
	formatOf("Status", pointed(AppendStatus), DecodeStatus, drawStatus,
		golden{`a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 04 67726964 06 616374697665 03
			00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008 00000009 0000000b 0000000c  02 02 7631 00  0000000a 0000000d 03 776879`,
			Status{ID: testID(0xa0), Name: "grid", State: "active", Safe: true, Tolerates: 1, Members: 2, Ready: 3, Partitions: 4, Replicas: 5,
				UnderReplicated: 6, Unavailable: 7, Lost: 8, Moves: 9, PossibleDataLoss: 11, Versions: []string{"v1", ""}, Skew: 10, OutOfStep: 13, MetadataLed: true,
				NoRoom: 12, Reason: "why"}}),
	formatOf("PartitionInfos", AppendPartitionInfos, DecodePartitionInfos,
		func(t *rapid.T) []PartitionInfo {
			return drawList(t, "partition", 5, func(t *rapid.T, _ string) PartitionInfo {
				return PartitionInfo{drawU64(t, "epoch"), drawU64(t, "index"), drawID(t, "owner"), drawList(t, "replica", 3, drawID)}
			})
		},
		golden{"02 0102030405060708 1112131415161718 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 01 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf" + strings.Repeat("00", 33),
			[]PartitionInfo{{0x0102030405060708, 0x1112131415161718, testID(0xa0), []ID{testID(0xc0)}}, {Replicas: []ID{}}}}),
	formatOf("MapInfos", AppendMapInfos, DecodeMapInfos,
		func(t *rapid.T) []MapInfo {
			return drawList(t, "map", 5, func(t *rapid.T, _ string) MapInfo {
				return MapInfo{drawString(t, "name"), drawU64(t, "entries"), drawU64(t, "bytes")}
			})
		},
		golden{"02 05 7573657273 ac02 07 00 00 00", []MapInfo{{"users", 300, 7}, {}}}, golden{"00", []MapInfo{}}),
}

func TestViewFormats(t *testing.T) { testFormats(t, viewFormats) }

func FuzzViewFormats(f *testing.F) { fuzzFormats(f, viewFormats) }

func TestViewFormatsAllocateByWhatIsThere(t *testing.T) {
	view := make([]byte, 33)
	viewFormats[1].testList(t, view, make([]byte, 39), []byte{0})
	viewFormats[1].testList(t, append(view, 0), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0}, nil)
	viewFormats[2].testList(t, make([]byte, 63), []byte{0}, make([]byte, 9))
	viewFormats[3].testList(t, nil, make([]byte, 33), nil)
	viewFormats[4].testList(t, nil, make([]byte, 3), nil)
}

// A map of tags takes the most room for its bytes of all that is decoded: it grows by the tags that are there.
func TestTagsAllocateByWhatIsThere(t *testing.T) {
	const n = 20_000
	b := AppendUvarint(make([]byte, 38), n)
	for i := range n {
		b = AppendString(AppendString(b, string([]byte{byte(i>>14) & 0x7f, byte(i>>7) & 0x7f, byte(i) & 0x7f})), "")
	}
	if m, err := viewFormats[0].decodeWithin(t, b, allocFactor*len(b)); err != nil || len(m.(MemberInfo).Tags) != n {
		t.Errorf("%d tags, %v", len(m.(MemberInfo).Tags), err)
	}
	b = append(AppendUvarint(make([]byte, 38), n), make([]byte, 2*n)...) // one tag, again and again
	if _, err := viewFormats[0].decodeWithin(t, b, 16<<10); !errors.Is(err, ErrMalformed) {
		t.Errorf("one tag %d times: %v, want ErrMalformed", n, err)
	}
}

// bigView is as large as a view gets.
func bigView() *Table {
	rng := rand.New(rand.NewPCG(1, 2))
	v := &Table{Version: 7, Meta: 8, Cluster: testID(1), Name: "grid", Members: make([]MemberInfo, 200), Partitions: make([]PartitionRoute, MaxPartitions)}
	for i := range v.Members {
		v.Members[i] = MemberInfo{ID: ID{14: byte(i >> 8), 15: byte(i)}, Incarnation: testID(byte(i)), Name: fmt.Sprint("member-", i), Addr: fmt.Sprintf("10.0.0.%d:5701", i),
			PeerAddr: fmt.Sprintf("10.0.0.%d:5702", i), Zone: fmt.Sprint("zone-", i%3), State: "ready", Version: "1.0.0", Tags: map[string]string{"rack": fmt.Sprint(i % 20)}}
	}
	for i := range v.Partitions {
		place := func() uint16 { return uint16(rng.IntN(200)) }
		v.Partitions[i] = PartitionRoute{Epoch: rng.Uint64(), Owner: place(), Replicas: []uint16{place(), place(), place()}}
	}
	return v
}

func TestLargestView(t *testing.T) {
	v := bigView()
	b := AppendTable(nil, v)
	if back, err := DecodeTable(b); err != nil || !reflect.DeepEqual(back, v) {
		t.Fatalf("a large view does not come back: %v", err)
	}
	if len(b) > MaxFrame/10 {
		t.Errorf("a large view has %d bytes, of a frame's %d", len(b), MaxFrame)
	}
	v.Partitions = append(v.Partitions, PartitionRoute{Owner: NoOwner})
	if _, err := DecodeTable(AppendTable(nil, v)); !errors.Is(err, ErrMalformed) {
		t.Errorf("%d partitions: %v, want ErrMalformed", len(v.Partitions), err)
	}
	if _, err := DecodeTable(AppendTable(nil, &Table{Members: make([]MemberInfo, NoOwner+1)})); !errors.Is(err, ErrMalformed) {
		t.Errorf("so many members that one of them is NoOwner: %v, want ErrMalformed", err)
	}
	if _, err := DecodeTable(AppendTable(nil, &Table{Members: make([]MemberInfo, NoOwner)})); err != nil {
		t.Errorf("one member fewer: %v", err)
	}
}

func TestViewRefuses(t *testing.T) {
	two := make([]MemberInfo, 2)
	for name, v := range map[string]Table{
		"owner beyond the members":   {Members: two, Partitions: []PartitionRoute{{Owner: 2}}},
		"owner of no members":        {Partitions: []PartitionRoute{{Owner: 0}}},
		"replica beyond the members": {Members: two, Partitions: []PartitionRoute{{Replicas: []uint16{0, 2}}}},
		"replica on no member":       {Members: two, Partitions: []PartitionRoute{{Replicas: []uint16{0, NoOwner}}}},
		"name that is not UTF-8":     {Name: "\xff"},
		"tag that is not UTF-8":      {Members: []MemberInfo{{Tags: map[string]string{"\xff": ""}}}},
	} {
		if back, err := DecodeTable(AppendTable(nil, &v)); !errors.Is(err, ErrMalformed) || back != nil {
			t.Errorf("%s: %+v, %v, want ErrMalformed", name, back, err)
		}
	}
}

// Tags stand in order, each once: a member's info has one encoding.
func TestTagsAreInOrder(t *testing.T) {
	head := strings.Repeat("00", 38)
	for tags, want := range map[string]int{"00": 0, "01 00 00": 1, "02 01 61 00 01 62 00": 2, "02 00 00 01 62 00": 2,
		"02 01 62 00 01 61 00": -1, "02 01 61 00 01 61 00": -1, "02 00 00 00 00": -1} {
		m, err := viewFormats[0].decode(fromHex(t, head+tags))
		if want < 0 && !errors.Is(err, ErrMalformed) || want >= 0 && (err != nil || len(m.(MemberInfo).Tags) != want) {
			t.Errorf("tags %s: %+v, %v, want %d", tags, m, err, want)
		}
	}
}
