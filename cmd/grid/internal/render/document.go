package render

// Document is what a command prints. Its values are nil, bool, string, []byte, integers, floats, time.Time, and lists and
// maps of those, as values decode into an any. Durations are integers in milliseconds in fields named *_ms.
//
// A Document keeps the slices that it is made of.
type Document struct {
	shape   shape
	columns []string
	rows    [][]any
	value   string // the column that Raw shows alone; "": all
	plain   string // likewise for Plain
}

type shape uint8

const (
	record  shape = iota // one row, an object in JSON
	records              // an array of objects
	values               // one column, an array of bare values
)

// Field is a named value of a record.
type Field struct {
	Name  string
	Value any
}

// Record returns the document of one record.
func Record(fields ...Field) Document {
	d := Document{shape: record, rows: [][]any{make([]any, len(fields))}}
	for i, f := range fields {
		d.columns = append(d.columns, f.Name)
		d.rows[0][i] = f.Value
	}
	return d
}

// Records returns the document of a list of records, each of which has a value for each column.
func Records(columns []string, rows [][]any) Document {
	return Document{shape: records, columns: columns, rows: rows}
}

// Values returns the document of a list of bare values. The name stands above them where there are headers.
func Values(name string, list []any) Document {
	d := Document{shape: values, columns: []string{name}, rows: make([][]any, len(list))}
	for i, v := range list {
		d.rows[i] = []any{v}
	}
	return d
}

// RawColumn returns the document of which Raw shows one column only.
func (d Document) RawColumn(name string) Document {
	d.value = name
	return d
}

// PlainColumn returns the document of which Plain shows one column only, in the way of Raw.
func (d Document) PlainColumn(name string) Document {
	d.plain = name
	return d
}

// only returns the document's rows with one column alone, "" for all.
func (d Document) only(name string) [][]any {
	for i, c := range d.columns {
		if c != name {
			continue
		}

		rows := make([][]any, len(d.rows))
		for j, row := range d.rows {
			rows[j] = row[i : i+1]
		}
		return rows
	}
	return d.rows
}
