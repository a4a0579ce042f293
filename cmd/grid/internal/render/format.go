// Package render owns what the commands print: a document of named fields in one of several formats. It knows nothing of
// commands and clusters.
//
// A document is one record, a list of records, or a list of bare values. JSON is the contract: the other formats show the
// same fields under the same names in the same order.
package render

import (
	"fmt"
	"strings"
)

// Format is how a document is written.
type Format string

const (
	Table Format = "table" // aligned columns under a header, for people
	JSON  Format = "json"  // one document and a newline
	YAML  Format = "yaml"  // the structure of JSON
	CSV   Format = "csv"   // a header named as in JSON, then the records
	Raw   Format = "raw"   // values only, one a line: strings as they are, anything else as JSON
	Plain Format = "plain" // columns separated by tabs, without a header; what pipes get, nobody asks for it
)

// Formats are those that may be asked for.
var Formats = []Format{Table, JSON, YAML, CSV, Raw}

// ParseFormat returns the format of a name.
func ParseFormat(name string) (Format, error) {
	names := make([]string, len(Formats))
	for i, f := range Formats {
		if string(f) == name {
			return f, nil
		}
		names[i] = string(f)
	}

	return "", fmt.Errorf("output format %q: there are %s", name, strings.Join(names, ", "))
}
