package codec

// Kind is what an encoded value is, whichever of its forms was chosen.
type Kind uint8

// The kinds of values. An integer is a KindInt if it is negative, else a KindUint.
const (
	KindNil    = Kind(famNil)
	KindBool   = Kind(famBool)
	KindUint   = Kind(famUint)
	KindInt    = Kind(famInt)
	KindFloat  = Kind(famFloat)
	KindTime   = Kind(famTime)
	KindString = Kind(famString)
	KindBytes  = Kind(famBytes)
	KindArray  = Kind(famArray)
	KindMap    = Kind(famMap)
)

// String returns the kind in words, such as "an integer".
func (k Kind) String() string { return family(k).String() }

// Token is what an encoded value begins with: all of a scalar but the bytes of a string, or the head of an array or a map. It is for
// programs that look into encoded values without decoding them. Its methods that are for other kinds return what means nothing.
type Token struct{ t token }

// ReadToken returns the Token that b begins with, whatever follows. It accepts any bytes, and allocates nothing for what it accepts.
// Bytes of a string lie within b. Of an array, b has at least one byte for each element, and of a map two for each entry. It returns
// an error wrapping ErrMalformed.
func ReadToken(b []byte) (Token, error) {
	t, err := readToken(b)
	if err != nil {
		return Token{}, malformed(err, 0)
	}
	return Token{t}, nil
}

// Kind returns what the value is.
func (t Token) Kind() Kind { return Kind(t.t.fam) }

// Head returns how many bytes the Token takes. What follows are the bytes of a string, the elements of an array, or the entries of a
// map, each key before its value.
func (t Token) Head() int { return t.t.size }

// Len returns the number of bytes, elements or entries.
func (t Token) Len() int { return int(t.t.n) }

// Bool returns a KindBool's value.
func (t Token) Bool() bool { return t.t.n != 0 }

// Uint returns a KindUint's value.
func (t Token) Uint() uint64 { return t.t.n }

// Int returns a KindInt's value.
func (t Token) Int() int64 { return int64(t.t.n) }

// Float returns a KindFloat's value.
func (t Token) Float() float64 { return t.t.float() }

// Body returns the bytes of a KindString or KindBytes. b is what the Token was read from, and the result aliases it.
func (t Token) Body(b []byte) []byte { return b[t.t.size:t.t.end()] }

// Instant returns a KindTime's value as the time since 1970. b is what the Token was read from.
func (t Token) Instant(b []byte) (sec int64, nsec uint32) { return t.t.instant(b) }

// AppendHead appends the head of a string, of bytes, of an array or of a map, with so many bytes, elements or entries. Of another kind it
// appends nothing.
func AppendHead(dst []byte, k Kind, n int) []byte {
	switch k {
	case KindString:
		return appendStringHeader(dst, n)
	case KindBytes:
		return appendBytesHeader(dst, n)
	case KindArray:
		return appendArrayHeader(dst, n)
	case KindMap:
		return appendMapHeader(dst, n)
	}
	return dst
}

// Skip returns how many bytes the value takes that b begins with. It accepts any bytes, needs no stack for what nests, and allocates
// nothing for what it accepts. It returns an error wrapping ErrMalformed.
func Skip(b []byte) (int, error) { return skip(b, 0) }

// skip returns where the value ends that begins at pos.
func skip(b []byte, pos int) (end int, err error) {
	// A count in place of recursion: the depth of what is skipped costs no stack.
	for left := uint64(1); left > 0; left-- {
		t, err := readToken(b[pos:])
		if err != nil {
			return pos, malformed(err, pos)
		}

		pos += t.end()
		switch t.fam {
		case famArray:
			left += t.n
		case famMap:
			left += 2 * t.n
		}
	}
	return pos, nil
}
