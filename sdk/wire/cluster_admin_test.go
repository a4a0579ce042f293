package wire

import (
	"testing"

	"pgregory.net/rapid"
)

var adminFormats = []*format{
	formatOf("DrainBody", AppendDrainBody, DecodeDrainBody, func(t *rapid.T) DrainBody { return DrainBody{drawID(t, "member")} },
		golden{"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", DrainBody{testID(0xa0)}}).ending(open),
	formatOf("ForgetBody", AppendForgetBody, DecodeForgetBody,
		func(t *rapid.T) ForgetBody { return ForgetBody{drawID(t, "member"), drawBool(t, "force")} },
		golden{"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 01", ForgetBody{testID(0xa0), true}},
		golden{"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 00", ForgetBody{Member: testID(0xa0)}}).ending(open),
	formatOf("LeavingResult", AppendLeavingResult, DecodeLeavingResult,
		func(t *rapid.T) LeavingResult {
			return LeavingResult{drawBool(t, "done"), drawU32(t, "replicas"), drawU32(t, "owned")}
		},
		golden{"01 00000000 00000000", LeavingResult{Done: true}}, golden{"00 0000010f 0000005a", LeavingResult{false, 271, 90}}).ending(open),
	formatOf("RebalanceBody", AppendRebalanceBody, DecodeRebalanceBody, func(t *rapid.T) RebalanceBody { return RebalanceBody{drawBool(t, "begin")} },
		golden{"01", RebalanceBody{true}}, golden{"00", RebalanceBody{}}).ending(open),
	formatOf("BalanceResult", AppendBalanceResult, DecodeBalanceResult,
		func(t *rapid.T) BalanceResult {
			return BalanceResult{drawU32(t, "left"), drawU32(t, "least"), drawU32(t, "most"), drawU32(t, "least owned"), drawU32(t, "most owned")}
		},
		golden{"00000001 00000002 00000003 00000004 00000005", BalanceResult{1, 2, 3, 4, 5}}).ending(open),
	formatOf("RecoverBody", AppendRecoverBody, DecodeRecoverBody,
		func(t *rapid.T) RecoverBody {
			return RecoverBody{drawList(t, "lost", 3, func(t *rapid.T, _ string) string { return rapid.StringN(0, 8, 20).Draw(t, "member") })}
		},
		golden{"02 01 61 00", RecoverBody{[]string{"a", ""}}}).ending(open),
	formatOf("RecoverResult", AppendRecoverResult, DecodeRecoverResult,
		func(t *rapid.T) RecoverResult {
			return RecoverResult{drawBool(t, "done"), drawU64(t, "generation"), drawU32(t, "wait")}
		},
		golden{"01 0000000000000002 00000000", RecoverResult{Done: true, Generation: 2}}, golden{"00 0000000000000000 00001f40", RecoverResult{Wait: 8000}}).ending(open),
}

func TestAdminFormats(t *testing.T) { testFormats(t, adminFormats) }

func FuzzAdminFormats(f *testing.F) { fuzzFormats(f, adminFormats) }

// What is passed on is an operation and all that follows it.
func TestAdminBody(t *testing.T) {
	b := AppendAdminBody(nil, AdminBody{Op: OpDrainMember, Body: []byte{1, 2}})
	if got, err := DecodeAdminBody(b); err != nil || got.Op != OpDrainMember || string(got.Body) != "\x01\x02" || len(b) != 3 || b[0] != 88 {
		t.Errorf("%x is %+v, %v", b, got, err)
	}
	if _, err := DecodeAdminBody(nil); err == nil {
		t.Error("nothing is an operation")
	}
}
