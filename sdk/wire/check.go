package wire

import (
	"fmt"
	"unicode/utf8"
)

// CheckMapName returns an error wrapping ErrMalformed or ErrTooLarge unless name is 1 to 255 bytes of UTF-8 without
// control characters.
func CheckMapName[T string | []byte](name T) error {
	if len(name) == 0 {
		return fmt.Errorf("%w: the map name is empty", ErrMalformed)
	}
	if len(name) > MaxMapName {
		return fmt.Errorf("%w: a map name of %d bytes, the limit is %d", ErrTooLarge, len(name), MaxMapName)
	}
	for i := 0; i < len(name); {
		c, n := rune(name[i]), 1
		if c >= utf8.RuneSelf {
			// As many bytes as a rune may have: converting the whole name would allocate.
			c, n = utf8.DecodeRuneInString(string(name[i:min(i+utf8.UTFMax, len(name))]))
		}
		if c == utf8.RuneError && n == 1 {
			return fmt.Errorf("%w: the map name is not UTF-8", ErrMalformed)
		}
		// Controls could change what a terminal or a log shows.
		if c < 0x20 || c >= 0x7f && c <= 0x9f {
			return fmt.Errorf("%w: the map name has a control character", ErrMalformed)
		}
		i += n
	}
	return nil
}

// checkKey returns an error unless the encoded key's length is in bounds.
func checkKey(key []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("%w: the key is empty", ErrMalformed)
	}
	if len(key) > MaxKey {
		return fmt.Errorf("%w: a key of %d bytes, the limit is %d", ErrTooLarge, len(key), MaxKey)
	}
	return nil
}

// checkKeys returns an error unless an operation may have so many keys.
func checkKeys(n int) error {
	if n > MaxKeys {
		return fmt.Errorf("%w: an operation on %d keys, the limit is %d", ErrTooLarge, n, MaxKeys)
	}
	return nil
}

func checkValue(v []byte) error {
	if len(v) == 0 {
		return fmt.Errorf("%w: a value without an encoding", ErrMalformed)
	}
	if len(v) > MaxValueHard {
		return fmt.Errorf("%w: a value of %d bytes, the limit is %d", ErrTooLarge, len(v), MaxValueHard)
	}
	return nil
}

// MapOf returns the name of the map that an operation on a partition is about, with which every body begins; nil if it does not.
// The name aliases body.
func MapOf(body []byte) []byte {
	r := NewReader(body)
	return r.Bytes()
}
