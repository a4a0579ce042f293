package wire

import "fmt"

// Operations by which one caller loads the value of a key that has none, while others wait.
const (
	OpLoad   Op = 50 // LockBody -> LockResult: the first caller is to load the value; as OpLock
	OpLoaded Op = 51 // LoadedBody -> WriteResult
)

var loadOps = []Descriptor{
	{Op: OpLoad, Name: "load", Kind: KindWrite, Repeatable: true, Parks: true, Check: checkLockBody, writes: writesKey},
	{Op: OpLoaded, Name: "loaded", Kind: KindWrite, Repeatable: true, Check: checkLoadedBody, WithOptions: loadedWithOptions, writes: writesKey},
}

func checkLoadedBody(_ Op, body []byte) (Contents, error) {
	l, err := DecodeLoadedBody(body)
	in := Contents{Map: l.Map, Options: l.WriteOptions, Largest: len(l.Value)}
	if l.Value != nil {
		in.Values = 1
	}
	return in, err
}

func loadedWithOptions(dst, body []byte, o *WriteOptions) ([]byte, error) {
	l, err := DecodeLoadedBody(body)
	l.WriteOptions = *o
	return AppendLoadedBody(dst, &l), err
}

// LoadedBody is the body of OpLoaded: the value that the caller has loaded for a key. Without a value it gives up the caller's load, or its place
// among those that wait for the load.
type LoadedBody struct {
	Map   []byte
	Key   []byte
	ID    ID     // as in OpLoad
	Fence uint64 // with a value: of the load; else 0
	WriteOptions
	Value []byte
}

// AppendLoadedBody appends l. Value is written when not nil, and its flag set.
func AppendLoadedBody(dst []byte, l *LoadedBody) []byte {
	dst = AppendBytes(AppendBytes(dst, l.Map), l.Key)
	dst = AppendU64(append(dst, l.ID[:]...), l.Fence)

	// Flags say what follows, so they are made from what is there and not taken from the caller.
	o := l.WriteOptions
	o.Flags &^= WriteValue | WriteExpect
	if l.Value != nil {
		o.Flags |= WriteValue
	}

	dst = o.append(dst)
	if l.Value != nil {
		dst = AppendBytes(dst, l.Value)
	}
	return dst
}

// DecodeLoadedBody reads what AppendLoadedBody wrote. All slices alias b.
func DecodeLoadedBody(b []byte) (l LoadedBody, err error) {
	r := NewReader(b)
	l = LoadedBody{Map: r.Bytes(), Key: r.Bytes(), ID: r.ID(), Fence: r.U64()}
	l.decode(&r)
	if l.Flags&WriteValue != 0 {
		l.Value = r.Bytes()
	}

	// A value comes with the fence under which it was loaded. Giving the task up needs neither.
	if l.ID.IsZero() || (l.Fence != 0) != (l.Flags&WriteValue != 0) {
		r.Fail("loaded by %v under fence %d, with flags %x", l.ID, l.Fence, l.Flags)
	}
	if l.Flags&(WriteVersion|WriteFence|WriteExpect) != 0 || l.Value == nil && l.Flags != 0 {
		r.Fail("loaded with flags %x", l.Flags)
	}

	if err := r.Done(); err != nil {
		return LoadedBody{}, err
	}
	if err := CheckMapName(l.Map); err != nil {
		return LoadedBody{}, err
	}
	if err := checkKey(l.Key); err != nil {
		return LoadedBody{}, err
	}

	if l.Flags&WriteValue != 0 {
		err = checkValue(l.Value)
	}
	if err != nil {
		return LoadedBody{}, fmt.Errorf("loaded: %w", err)
	}
	return l, nil
}
