package app

import (
	"bytes"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// shownCodec is the codec of values that people give and see. A program's own codec may store what is no MessagePack. Such a value
// is shown as its bytes, so that it fails no command: a write has taken effect when the previous value is decoded.
type shownCodec struct{ codec.Msgpack }

// Name returns "shown".
func (shownCodec) Name() string { return "shown" }

// Decode puts into v, which is a *any, what is shown for b.
func (shownCodec) Decode(b []byte, v any) error {
	var value any
	if err := (codec.Msgpack{}).Decode(b, &value); err != nil {
		value = bytes.Clone(b)
	}
	*v.(*any) = value
	return nil
}
