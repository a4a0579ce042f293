package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// appendYAML appends the document as YAML: the tree of its JSON in blocks, its members in the same order. Strings that are
// not plain words stand in double quotes with JSON's escapes, which YAML shares.
func (d Document) appendYAML(dst []byte) ([]byte, error) {
	text, err := d.appendJSON(nil)
	if err != nil {
		return nil, err
	}

	// Numbers are kept as texts: a float64 would change long integers.
	y := yamlWriter{in: json.NewDecoder(bytes.NewReader(text)), out: dst}
	y.in.UseNumber()

	if err := y.node(0, true); err != nil {
		return nil, fmt.Errorf("render as YAML: %w", err)
	}
	return y.out, nil
}

// yamlWriter turns JSON into YAML token by token.
type yamlWriter struct {
	in  *json.Decoder
	out []byte
}

// node writes the next value of the input, to the end of its last line. Its blocks are indented by indent levels; inline
// says that the first line goes on where the output stands.
func (y *yamlWriter) node(indent int, inline bool) error {
	token, err := y.in.Token()
	if err != nil {
		return err
	}

	switch token {
	case json.Delim('['):
		return y.block(indent, inline, "[]", json.Delim(']'), func() error {
			y.out = append(y.out, "- "...)
			return y.node(indent+1, true)
		})
	case json.Delim('{'):
		return y.block(indent, inline, "{}", json.Delim('}'), func() error {
			key, err := y.in.Token()
			if err != nil {
				return err
			}
			y.out = append(append(y.out, yamlScalar(key)...), ':')
			return y.node(indent+1, false)
		})
	}

	if !inline {
		y.out = append(y.out, ' ')
	}
	y.out = append(append(y.out, yamlScalar(token)...), '\n')
	return nil
}

// block writes the items of an array or object up to its end, each by a call of item.
func (y *yamlWriter) block(indent int, inline bool, empty string, end json.Delim, item func() error) error {
	if !y.in.More() {
		if !inline {
			y.out = append(y.out, ' ')
		}
		y.out = append(append(y.out, empty...), '\n')
	} else if !inline {
		y.out = append(y.out, '\n')
	}

	// The first item goes on where the line stands, so that a list in a list takes no line of its own.
	for first := true; y.in.More(); first = false {
		if !first || !inline {
			y.out = append(y.out, strings.Repeat("  ", indent)...)
		}
		if err := item(); err != nil {
			return err
		}
	}

	token, err := y.in.Token()
	if err == nil && token != end {
		err = fmt.Errorf("%v instead of %v", token, end)
	}
	return err
}

// plainWord is a string that YAML takes for a string without quotes; yamlWords are those that it does not.
var (
	plainWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.@/-]*( [A-Za-z0-9_.@/-]+)*$`)
	yamlWords = map[string]bool{"y": true, "n": true, "yes": true, "no": true, "on": true, "off": true, "true": true, "false": true, "null": true, "nan": true}
)

func yamlScalar(token json.Token) string {
	switch v := token.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return v.String()
	case string:
		// YAML readers take words such as yes or null for something else, so these are quoted.
		if plainWord.MatchString(v) && !yamlWords[strings.ToLower(v)] {
			return v
		}
		b, err := codec.ToJSON(v)
		if err != nil {
			panic(fmt.Sprintf("render: a string of %d bytes has no JSON: %v", len(v), err))
		}
		return string(b)
	default:
		panic(fmt.Sprintf("render: JSON token %v of type %T", token, token))
	}
}
