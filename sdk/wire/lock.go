package wire

import "fmt"

// Operations on the locks of keys.
const (
	OpIsLocked    Op = 23 // KeyBody -> LockResult
	OpLock        Op = 46 // LockBody -> LockResult; with LockWait answered when the lock was got, or shortly before the deadline
	OpUnlock      Op = 47 // UnlockBody -> WriteResult
	OpRenew       Op = 48 // LockBody -> LockResult; with LockWait answered when the lock was lost, or shortly before the deadline
	OpForceUnlock Op = 49 // KeyBody -> WriteResult
)

var lockOps = []Descriptor{
	{Op: OpIsLocked, Name: "is_locked", Kind: KindRead, Repeatable: true, ByKey: true, Check: checkKeyBody},
	{Op: OpLock, Name: "lock", Kind: KindWrite, Repeatable: true, Parks: true, Check: checkLockBody, writes: writesKey},
	{Op: OpUnlock, Name: "unlock", Kind: KindWrite, Repeatable: true, Check: checkUnlockBody, writes: writesNone},
	{Op: OpRenew, Name: "renew_lock", Kind: KindWrite, Repeatable: true, Parks: true, Check: checkLockBody, writes: writesNone},
	{Op: OpForceUnlock, Name: "force_unlock", Kind: KindWrite, Repeatable: true, Check: checkKeyBody, writes: writesNone},
}

func checkLockBody(op Op, body []byte) (Contents, error) {
	l, err := DecodeLockBody(body)
	if err == nil {
		err = CheckLock(op, &l)
	}
	return Contents{Map: l.Map}, err
}

func checkUnlockBody(_ Op, body []byte) (Contents, error) {
	u, err := DecodeUnlockBody(body)
	return Contents{Map: u.Map}, err
}

// LockWait in LockBody.Flags makes OpLock wait in the lock's queue while another caller holds the lock. Without it the call only tries. It
// makes OpRenew wait, after the renewal, until the caller has lost the lock.
const LockWait uint8 = 1 << 0

// LockAgain in LockBody.Flags makes OpLoad renew the lease of a load, and nothing else. The answer is CodeLockNotHeld if the caller does not
// have the load.
const LockAgain uint8 = 1 << 1

// LockBody is the body of OpLock, OpRenew and OpLoad: a caller that wants the lock of a key, or has it.
type LockBody struct {
	Map   []byte
	Key   []byte
	ID    ID     // of the holder or waiter, the same in all its calls from the first to the last; never zero
	Lease uint64 // milliseconds, at least one: how long the caller holds the lock unless it renews the lease
	Keep  uint64 // with LockWait: how many milliseconds beyond the call's deadline the owner keeps the place in the queue
	Flags uint8  // LockWait; LockAgain
}

// AppendLockBody appends l.
func AppendLockBody(dst []byte, l *LockBody) []byte {
	dst = AppendBytes(AppendBytes(dst, l.Map), l.Key)
	dst = append(dst, l.ID[:]...)
	return append(AppendUvarint(AppendUvarint(dst, l.Lease), l.Keep), l.Flags)
}

// DecodeLockBody reads what AppendLockBody wrote. All slices alias b.
func DecodeLockBody(b []byte) (l LockBody, err error) {
	r := NewReader(b)
	l = LockBody{Map: r.Bytes(), Key: r.Bytes(), ID: r.ID(), Lease: r.Uvarint(), Keep: r.Uvarint(), Flags: r.U8()}

	// A place is kept only for a call that waits.
	if l.Flags&^(LockWait|LockAgain) != 0 || l.Flags == LockWait|LockAgain || l.Flags&LockWait == 0 && l.Keep != 0 {
		r.Fail("a lock with flags %x, kept for %d", l.Flags, l.Keep)
	}
	if l.ID.IsZero() || l.Lease == 0 {
		r.Fail("a lock for nobody, or for no time")
	}

	if err := r.Done(); err != nil {
		return LockBody{}, err
	}

	if err := CheckMapName(l.Map); err != nil {
		return LockBody{}, err
	}
	return l, checkKey(l.Key)
}

// CheckLock returns an error unless l has the fields that op needs.
func CheckLock(op Op, l *LockBody) error {
	again := l.Flags&LockAgain != 0
	if op != OpLoad && again || op != OpLock && op != OpLoad && (op != OpRenew || l.Keep != 0) {
		return fmt.Errorf("%w: %v with the wrong fields", ErrMalformed, op)
	}
	return nil
}

// UnlockBody is the body of OpUnlock. At least one of ID and Fence is given; where both are, both must be the holder's.
type UnlockBody struct {
	Map   []byte
	Key   []byte
	ID    ID     // of the holder, or of a waiter that no longer waits; zero: the holder under Fence
	Fence uint64 // of the holder; 0: any
}

// AppendUnlockBody appends u.
func AppendUnlockBody(dst []byte, u *UnlockBody) []byte {
	dst = AppendBytes(AppendBytes(dst, u.Map), u.Key)
	return AppendU64(append(dst, u.ID[:]...), u.Fence)
}

// DecodeUnlockBody reads what AppendUnlockBody wrote. All slices alias b.
func DecodeUnlockBody(b []byte) (u UnlockBody, err error) {
	r := NewReader(b)
	u = UnlockBody{Map: r.Bytes(), Key: r.Bytes(), ID: r.ID(), Fence: r.U64()}

	// Either names the holder. Without both, the body would mean any holder.
	if u.ID.IsZero() && u.Fence == 0 {
		r.Fail("nobody's lock")
	}

	if err := r.Done(); err != nil {
		return UnlockBody{}, err
	}
	if err := CheckMapName(u.Map); err != nil {
		return UnlockBody{}, err
	}
	return u, checkKey(u.Key)
}

// Flags of a LockResult.
const (
	LockHeld   uint8 = 1 << 0 // OpLock, OpRenew: the caller holds the lock; OpIsLocked: somebody does
	LockQueued uint8 = 1 << 1 // OpLock: the caller waits in the queue
	LockLoaded uint8 = 1 << 2 // OpLoad: there is nothing to load, because the key has an entry
	LockLapsed uint8 = 1 << 3 // OpLock, OpLoad: a copy of the call got the lock, and the caller has lost it since. It may ask again
)

// LockResult answers OpLock, OpRenew, OpLoad and OpIsLocked. An answer to OpLock without a flag says that another caller holds the lock. To a
// call that waited, it says that the call has lost its place and may ask again.
type LockResult struct {
	Flags   uint8
	Fence   uint64 // LockHeld: the holder's
	Ends    int64  // LockHeld: when the lease ends, in cluster time in milliseconds
	Waiting uint64 // waiters in the queue
}

// AppendLockResult appends l.
func AppendLockResult(dst []byte, l *LockResult) []byte {
	dst = AppendU64(append(dst, l.Flags), l.Fence)
	return AppendUvarint(AppendVarint(dst, l.Ends), l.Waiting)
}

// DecodeLockResult reads what AppendLockResult wrote.
func DecodeLockResult(b []byte) (LockResult, error) {
	r := NewReader(b)
	l := LockResult{Flags: r.U8(), Fence: r.U64(), Ends: r.Varint(), Waiting: r.Uvarint()}
	return l, r.Done()
}
