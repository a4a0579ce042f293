package meta

import (
	"bytes"
	"testing"
)

// FuzzApply applies any bytes to a cluster at birth and at work: the state stays sound, a refusal leaves no trace, and nothing
// takes effect twice.
func FuzzApply(f *testing.F) {
	for _, c := range everyCommand() {
		f.Add(Append(nil, c))
	}
	f.Add([]byte{})
	f.Add([]byte{Format, byte(KindCreateTable), 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, cmd []byte) {
		if c, err := Decode(cmd); err == nil {
			// Varints may be longer than they must be; nothing else has two encodings.
			if again := Append(nil, c); !bytes.Equal(again, cmd) && len(again) >= len(cmd) {
				t.Fatalf("%T%+v is both %x and %x", c, c, cmd, again)
			}
		}
		for _, s := range []*State{New(), newTable(t, 2, false)} {
			before := s.Snapshot()
			res := s.Apply(cmd)
			if !res.OK() && s.Snapshot() != before {
				t.Fatalf("%x is refused with %q and changed the state", cmd, res.Text)
			}
			if err := s.v.check(); err != nil {
				t.Fatalf("after %x: %v", cmd, err)
			}
			if again := s.Apply(cmd); res.OK() && s.Snapshot().Version > before.Version+1 {
				t.Fatalf("%x took effect twice: %+v, %+v", cmd, res, again)
			}
		}
	})
}

// FuzzImage decodes any bytes: an image that is accepted is that of a sound state, which goes on.
func FuzzImage(f *testing.F) {
	for _, s := range []*State{New(), goldenState(f)} {
		image := AppendImage(nil, s.Snapshot())
		f.Add(image)
		f.Add(image[:len(image)-imageSum])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// The fuzzer cannot guess checksums: the bytes get theirs.
		for _, image := range [][]byte{b, sealed(b)} {
			s, err := DecodeImage(image)
			if err != nil {
				continue
			}
			if err := s.v.check(); err != nil {
				t.Fatalf("accepted: %v", err)
			}
			again, err := DecodeImage(AppendImage(nil, s.Snapshot()))
			if err != nil || !bytes.Equal(AppendImage(nil, again.v), AppendImage(nil, s.v)) {
				t.Fatalf("an image of an image: %v", err)
			}
			s.v.AllLost()
			s.v.Unrecoverable()
			for _, c := range everyCommand() {
				s.Apply(Append(nil, c))
			}
			if err := s.v.check(); err != nil {
				t.Fatalf("unsound after more commands: %v", err)
			}
		}
	})
}
