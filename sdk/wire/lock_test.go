package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawLockBody(t *rapid.T) LockBody {
	l := LockBody{Map: drawMapName(t), Key: drawSome(t, "key"), ID: drawID(t, "id"), Lease: max(1, drawU64(t, "lease"))}
	l.ID[3] |= 1
	if drawBool(t, "wait") {
		l.Flags, l.Keep = LockWait, drawU64(t, "keep")
	}
	return l
}

func drawUnlockBody(t *rapid.T) UnlockBody {
	u := UnlockBody{Map: drawMapName(t), Key: drawSome(t, "key"), Fence: drawU64(t, "fence")}
	if u.Fence == 0 || drawBool(t, "by ID") {
		u.ID = drawID(t, "id")
		u.ID[3] |= 1
	}
	return u
}

const goldenID = "000102030405060708090a0b0c0d0e0f"

var lockFormats = []*format{
	formatOf("LockBody", pointed(AppendLockBody), DecodeLockBody, drawLockBody,
		golden{"01 6d 02 a161 " + goldenID + " b0ea01 9001 01", LockBody{Map: []byte("m"), Key: []byte("\xa1a"),
			ID: ID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Lease: 30_000, Keep: 144, Flags: LockWait}},
		golden{"01 6d 01 07 " + goldenID + " 01 00 00", LockBody{Map: []byte("m"), Key: []byte{7},
			ID: ID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Lease: 1}}),
	formatOf("UnlockBody", pointed(AppendUnlockBody), DecodeUnlockBody, drawUnlockBody,
		golden{"01 6d 02 a161 " + goldenID + " 0102030405060708", UnlockBody{Map: []byte("m"), Key: []byte("\xa1a"),
			ID: ID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Fence: 0x0102030405060708}},
		golden{"01 6d 01 07 00000000000000000000000000000000 0000000000000001", UnlockBody{Map: []byte("m"), Key: []byte{7}, Fence: 1}}),
	formatOf("LockResult", pointed(AppendLockResult), DecodeLockResult,
		func(t *rapid.T) LockResult {
			return LockResult{drawU8(t, "flags"), drawU64(t, "fence"), drawI64(t, "ends"), drawU64(t, "waiting")}
		},
		golden{"01 0102030405060708 d804 03", LockResult{LockHeld, 0x0102030405060708, 300, 3}},
		golden{"02 0000000000000000 00 ac02", LockResult{Flags: LockQueued, Waiting: 300}}),
}

func TestLockFormats(t *testing.T) { testFormats(t, lockFormats) }

func FuzzLockFormats(f *testing.F) { fuzzFormats(f, lockFormats) }

// What every body of a lock refuses.
func TestLockBodiesRefuse(t *testing.T) {
	lock := func(change func(*LockBody)) []byte {
		l := LockBody{Map: []byte("m"), Key: []byte{7}, ID: ID{1}, Lease: 1}
		change(&l)
		return AppendLockBody(nil, &l)
	}
	unlock := func(u UnlockBody) []byte { return AppendUnlockBody(nil, &u) }
	long := []byte(strings.Repeat("x", MaxMapName+1))
	for _, c := range []struct {
		name string
		body []byte
		f    int // in lockFormats
		want error
	}{
		{"nobody", lock(func(l *LockBody) { l.ID = ID{} }), 0, ErrMalformed},
		{"no time", lock(func(l *LockBody) { l.Lease = 0 }), 0, ErrMalformed},
		{"a kept place without a wait", lock(func(l *LockBody) { l.Keep = 1 }), 0, ErrMalformed},
		{"unknown flags", lock(func(l *LockBody) { l.Flags = 4 }), 0, ErrMalformed},
		{"again, and a wait", lock(func(l *LockBody) { l.Flags = LockWait | LockAgain }), 0, ErrMalformed},
		{"no map", lock(func(l *LockBody) { l.Map = nil }), 0, ErrMalformed},
		{"long map", lock(func(l *LockBody) { l.Map = long }), 0, ErrTooLarge},
		{"no key", lock(func(l *LockBody) { l.Key = nil }), 0, ErrMalformed},
		{"long key", lock(func(l *LockBody) { l.Key = bytes.Repeat([]byte{1}, MaxKey+1) }), 0, ErrTooLarge},
		{"nobody", unlock(UnlockBody{Map: []byte("m"), Key: []byte{7}}), 1, ErrMalformed},
		{"no map", unlock(UnlockBody{Key: []byte{7}, Fence: 1}), 1, ErrMalformed},
		{"no key", unlock(UnlockBody{Map: []byte("m"), Fence: 1}), 1, ErrMalformed},
	} {
		if v, err := lockFormats[c.f].decode(c.body); !errors.Is(err, c.want) {
			t.Errorf("%s, %s: %+v, %v, want %v", lockFormats[c.f].name, c.name, v, err, c.want)
		}
	}
}

func TestCheckLock(t *testing.T) {
	for _, c := range []struct {
		op   Op
		l    LockBody
		want bool
	}{
		{OpLock, LockBody{}, true}, {OpLock, LockBody{Flags: LockWait}, true}, {OpRenew, LockBody{}, true},
		{OpRenew, LockBody{Flags: LockWait}, true}, {OpRenew, LockBody{Flags: LockWait, Keep: 1}, false}, {OpSet, LockBody{}, false},
		{OpLoad, LockBody{Flags: LockWait, Keep: 1}, true}, {OpLoad, LockBody{Flags: LockAgain}, true}, {OpLock, LockBody{Flags: LockAgain}, false},
		{OpRenew, LockBody{Flags: LockAgain}, false},
	} {
		if err := CheckLock(c.op, &c.l); (err == nil) != c.want || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%v with flags %x: %v", c.op, c.l.Flags, err)
		}
	}
}
