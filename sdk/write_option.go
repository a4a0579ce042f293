package sdk

import (
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// WriteOption changes a write. See [WithTTL], [WithMaxIdle], [KeepTTL], [IfVersion] and [WithFence].
type WriteOption interface {
	applyWrite(*wire.WriteOptions) error
}

type ttlOption time.Duration

func (o ttlOption) applyWrite(w *wire.WriteOptions) (err error) {
	w.Flags |= wire.WriteTTL
	w.TTL, err = wire.Milliseconds("WithTTL", time.Duration(o))
	return err
}

// WithTTL makes the entry expire after d, counted from the write. 0 means never. A fraction of a millisecond counts as a whole
// one. A negative d is ErrInvalid.
//
// NOTE: take care with a computed d, such as time.Until(deadline). Once the deadline has passed it is negative, which is
// ErrInvalid, and at the deadline itself it is 0, which means never. max(d, 1) avoids the latter: it is rounded up to a
// millisecond.
func WithTTL(d time.Duration) WriteOption { return ttlOption(d) }

type maxIdleOption time.Duration

func (o maxIdleOption) applyWrite(w *wire.WriteOptions) (err error) {
	w.Flags |= wire.WriteMaxIdle
	w.MaxIdle, err = wire.Milliseconds("WithMaxIdle", time.Duration(o))
	return err
}

// WithMaxIdle makes the entry expire once nobody has read or written it for d. 0 means never. Get, GetAll and ContainsKey are
// reads; EntryView, iteration and Size are not. Rounding and errors are those of [WithTTL].
//
// NOTE: if the owner dies just after a read, the entry may expire after half of d.
func WithMaxIdle(d time.Duration) WriteOption { return maxIdleOption(d) }

type keepTTLOption struct{}

func (keepTTLOption) applyWrite(w *wire.WriteOptions) error {
	w.Flags |= wire.WriteKeepTTL
	return nil
}

// KeepTTL leaves the TTL and max-idle of an existing entry as they are. Together with WithTTL or WithMaxIdle it is ErrInvalid.
func KeepTTL() WriteOption { return keepTTLOption{} }

type ifVersionOption uint64

func (o ifVersionOption) applyWrite(w *wire.WriteOptions) error {
	if o == 0 {
		return fmt.Errorf("IfVersion(0): no entry has that version; use PutIfAbsent")
	}
	w.Flags |= wire.WriteVersion
	w.IfVersion = uint64(o)
	return nil
}

// IfVersion makes the write happen only if the entry exists and has this version, as [Map.EntryView] returns it. Otherwise the
// write is ErrConflict. Version 0 is ErrInvalid: use PutIfAbsent.
func IfVersion(version uint64) WriteOption { return ifVersionOption(version) }

// writeOptions returns what opts say. Of an option that is given twice, the last counts.
func writeOptions(op wire.Op, name string, opts []WriteOption) (w wire.WriteOptions, err error) {
	for _, o := range opts {
		if o == nil {
			return w, invalidf(op.String(), name, "a nil option")
		}
		if err := o.applyWrite(&w); err != nil {
			return w, invalidf(op.String(), name, "%v", err)
		}
	}

	// Each option is fine by itself. Only together do these contradict each other or the operation.
	switch {
	case w.Flags&wire.WriteKeepTTL != 0 && w.Flags&(wire.WriteTTL|wire.WriteMaxIdle) != 0:
		return w, invalidf(op.String(), name, "KeepTTL together with WithTTL or WithMaxIdle")
	case w.Flags&wire.WriteVersion != 0 && op == wire.OpPutIfAbsent:
		return w, invalidf(op.String(), name, "IfVersion on PutIfAbsent, which writes only where there is no entry")
	}
	return w, nil
}
