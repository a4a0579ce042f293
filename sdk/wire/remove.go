package wire

import "fmt"

// OpRemoveAll removes the entries of a map for which a predicate holds: RemoveBody -> RemoveResult; in the log as a RemovalBody.
const OpRemoveAll Op = 52

var removeOps = []Descriptor{
	{Op: OpRemoveAll, Name: "remove_all", Kind: KindWrite, Repeatable: true, Check: checkRemoveBody},
}

func checkRemoveBody(_ Op, body []byte) (Contents, error) {
	r, err := DecodeRemoveBody(body)
	return Contents{Map: r.Map}, err
}

// PredicateKind is the kind of a Predicate.
type PredicateKind uint8

const (
	// PredicateGlob is a glob that keys match, which must be texts; see MatchGlob.
	PredicateGlob PredicateKind = 1
	// PredicateText is the text of a predicate on keys and values, in the language of package sdk/predicate.
	PredicateText PredicateKind = 2
)

const (
	// MaxGlob bounds a glob in bytes: matching takes time by its length and the key's.
	MaxGlob = 1024
	// MaxPredicate bounds the text of a predicate in bytes.
	MaxPredicate = 64 << 10
)

// Predicate selects entries of a map.
type Predicate struct {
	Kind PredicateKind
	Text string
}

// Check returns an error unless p is a predicate. It does not read the text of a PredicateText, which takes a parser.
func (p *Predicate) Check() error {
	switch {
	case p.Kind == PredicateText && len(p.Text) > MaxPredicate:
		return fmt.Errorf("%w: a predicate of %d bytes, the limit is %d", ErrTooLarge, len(p.Text), MaxPredicate)
	case p.Kind == PredicateText:
		return nil
	case p.Kind != PredicateGlob:
		return fmt.Errorf("%w: a predicate of kind %d", ErrMalformed, p.Kind)
	case len(p.Text) > MaxGlob:
		return fmt.Errorf("%w: a glob of %d bytes, the limit is %d", ErrTooLarge, len(p.Text), MaxGlob)
	}
	return CheckGlob(p.Text)
}

// RemoveBody is the body of OpRemoveAll. One call removes entries of a map for which a predicate holds, in the order of a ScanBody's pages,
// after a given key. It may end before the last entry, and then says so.
type RemoveBody struct {
	Map   []byte
	After []byte // empty: from the first key on
	Where Predicate
}

// AppendRemoveBody appends r.
func AppendRemoveBody(dst []byte, r *RemoveBody) []byte {
	dst = AppendBytes(AppendBytes(dst, r.Map), r.After)
	return AppendString(append(dst, byte(r.Where.Kind)), r.Where.Text)
}

// DecodeRemoveBody reads what AppendRemoveBody wrote. Map and After alias b.
func DecodeRemoveBody(b []byte) (out RemoveBody, err error) {
	r := NewReader(b)
	out = RemoveBody{Map: r.Bytes(), After: r.Bytes(), Where: Predicate{Kind: PredicateKind(r.U8()), Text: string(r.Bytes())}}

	if err := r.Done(); err != nil {
		return RemoveBody{}, err
	}

	// An empty After means the beginning. It is no key, so checkKey is asked for its error alone.
	if len(out.After) > MaxKey {
		return RemoveBody{}, checkKey(out.After)
	}
	if err := CheckMapName(out.Map); err != nil {
		return RemoveBody{}, err
	}
	return out, out.Where.Check()
}

// RemovalBody is what the log has of one OpRemoveAll: the entries that the owner chose. An entry is removed if it still has its version.
type RemovalBody struct {
	Map      []byte
	Next     []byte // for the answer
	Keys     [][]byte
	Versions []uint64 // one for each key
}

// AppendRemovalBody appends r.
func AppendRemovalBody(dst []byte, r *RemovalBody) []byte {
	dst = AppendBytes(AppendBytes(dst, r.Map), r.Next)
	dst = AppendUvarint(dst, uint64(len(r.Keys)))
	for i, k := range r.Keys {
		dst = AppendU64(AppendBytes(dst, k), r.Versions[i])
	}
	return dst
}

// DecodeRemovalBody reads what AppendRemovalBody wrote. All slices but Versions alias b.
func DecodeRemovalBody(b []byte) (out RemovalBody, err error) {
	r := NewReader(b)
	out.Map, out.Next = r.Bytes(), r.Bytes()
	n := r.Count(2 + 8) // a key's length and one byte, a version
	if err := checkKeys(n); err != nil {
		return RemovalBody{}, err
	}

	out.Keys, out.Versions = make([][]byte, n), make([]uint64, n)
	for i := range out.Keys {
		out.Keys[i], out.Versions[i] = r.Bytes(), r.U64()
	}

	if err := endKeys(&r, out.Map, out.Keys); err != nil {
		return RemovalBody{}, err
	}

	if len(out.Next) > MaxKey {
		return RemovalBody{}, checkKey(out.Next)
	}
	return out, nil
}

// RemoveResult answers OpRemoveAll.
type RemoveResult struct {
	Removed uint64
	Next    []byte // the last key that was looked at, after which the caller goes on; empty: there are no more
}

// AppendRemoveResult appends r.
func AppendRemoveResult(dst []byte, r *RemoveResult) []byte {
	return AppendBytes(AppendUvarint(dst, r.Removed), r.Next)
}

// DecodeRemoveResult reads what AppendRemoveResult wrote. Next aliases b.
func DecodeRemoveResult(b []byte) (RemoveResult, error) {
	r := NewReader(b)
	out := RemoveResult{Removed: r.Uvarint(), Next: r.Bytes()}
	return out, r.Done()
}
