package update

import (
	"bytes"
	"encoding/json"
)

// maxNesting bounds how deep a patch of JSON may nest: each level looks at what lies below it once more.
const maxNesting = 32

// mergeJSON is merge on texts of JSON. What the patch does not name stays as it is written, and in its place. New attributes follow in the
// order of the patch.
func mergeJSON(value, patch []byte) ([]byte, error) {
	// What is valid can be walked without further checks.
	if !json.Valid(patch) {
		return nil, refusedf("the argument is not JSON, and the value is, or should be")
	}
	if value != nil && !json.Valid(value) {
		return nil, refusedf("the value is not JSON, and the argument is")
	}

	m := jsonMerger{dst: make([]byte, 0, len(value)+len(patch))}
	if m.value(trim(value), trim(patch), 0); m.deep {
		return nil, refusedf("the argument nests deeper than %d", maxNesting)
	}
	return m.dst, nil
}

// jsonMerger merges valid texts without space around them.
type jsonMerger struct {
	dst  []byte
	deep bool // the patch nests too deeply
}

// value appends what a patch makes of a target; nil is no value.
func (m *jsonMerger) value(target, patch []byte, depth int) {
	if patch[0] != '{' {
		m.dst = append(m.dst, patch...)
		return
	}
	if depth >= maxNesting {
		m.deep = true
		return
	}

	// The last of equal names counts, as everywhere in Go.
	type attribute struct {
		name string
		raw  []byte
	}
	var added []attribute
	patches := make(map[string][]byte)
	attributes(patch, func(name string, raw, value []byte) {
		if _, known := patches[name]; !known {
			added = append(added, attribute{name, raw})
		}
		patches[name] = value
	})

	if len(target) == 0 || target[0] != '{' {
		target = []byte("{}") // a patch of attributes makes an object of whatever stands there
	}

	m.dst = append(m.dst, '{')
	begin := len(m.dst)
	field := func(raw, old, patch []byte) {
		if len(m.dst) > begin {
			m.dst = append(m.dst, ',')
		}
		m.dst = append(append(m.dst, raw...), ':')
		m.value(old, patch, depth+1)
	}

	met := make(map[string]bool)
	attributes(target, func(name string, raw, old []byte) {
		p, named := patches[name]
		switch {
		case !named:
			if len(m.dst) > begin {
				m.dst = append(m.dst, ',')
			}
			m.dst = append(append(append(m.dst, raw...), ':'), old...)
		case string(p) == "null":
			met[name] = true
		// A name that stands twice in the target gets its new value once.
		case !met[name]:
			met[name] = true
			field(raw, old, p)
		}
	})

	for _, a := range added {
		if p := patches[a.name]; !met[a.name] && string(p) != "null" {
			field(a.raw, nil, p)
		}
	}
	m.dst = append(m.dst, '}')
}

// attributes calls each for the attributes of an object: with the name, and with name and value as they are written.
func attributes(object []byte, each func(name string, raw, value []byte)) {
	for at := skipSpace(object, 1); object[at] != '}'; {
		end := stringEnd(object, at)
		raw := object[at:end]

		// Past the colon.
		at = skipSpace(object, skipSpace(object, end)+1)
		end = valueEnd(object, at)
		each(nameOf(raw), raw, object[at:end])

		if at = skipSpace(object, end); object[at] == ',' {
			at = skipSpace(object, at+1)
		}
	}
}

// nameOf returns the text that a string of JSON stands for.
func nameOf(raw []byte) string {
	if !bytes.ContainsRune(raw, '\\') {
		return string(raw[1 : len(raw)-1])
	}
	var name string
	_ = json.Unmarshal(raw, &name) // the text was found valid
	return name
}

// trim returns valid JSON without space around it.
func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

// skipSpace returns where space ends that begins at i.
func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

// stringEnd returns what is behind the string that begins at i.
func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns what is behind the value within an object that begins at i. It needs no stack for what nests.
func valueEnd(b []byte, i int) int {
	for depth := 0; ; {
		switch c := b[i]; c {
		case '"':
			i = stringEnd(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		default:
			// A number or a word ends before what parts values; within an object or a list the marks and spaces between count like it.
			for i++; depth == 0 && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' '; i++ {
			}
		}
		if depth == 0 {
			return i
		}
	}
}
