package render

import "github.com/gridiron-io/gridiron/sdk/codec"

// appendJSON appends the document as JSON in one line, without a newline.
func (d Document) appendJSON(dst []byte) ([]byte, error) {
	var err error
	// A record stands alone. Everything else is a list, also with one row or none.
	if d.shape != record {
		dst = append(dst, '[')
	}

	for i, row := range d.rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		if d.shape == values {
			dst, err = appendValue(dst, row[0])
		} else {
			dst, err = appendObject(dst, d.columns, row)
		}

		if err != nil {
			return nil, err
		}
	}

	if d.shape != record {
		dst = append(dst, ']')
	}
	return dst, nil
}

func appendObject(dst []byte, names []string, row []any) ([]byte, error) {
	dst = append(dst, '{')
	for i, v := range row {
		if i > 0 {
			dst = append(dst, ',')
		}

		// Names of columns are the program's own and need no escapes.
		dst = append(append(append(dst, '"'), names[i]...), `":`...)
		var err error
		if dst, err = appendValue(dst, v); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendValue(dst []byte, v any) ([]byte, error) {
	b, err := codec.ToJSON(v)
	return append(dst, b...), err
}
