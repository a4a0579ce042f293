package proc

import "fmt"

// firstLine is the standard output of a member: it hands its first line, without the end, to got, and drops the rest.
type firstLine struct {
	line []byte
	done bool
	got  chan<- string // has room for one
}

// maxLine bounds a first line that never ends.
const maxLine = 4 << 10

// Write takes what the member printed.
func (f *firstLine) Write(b []byte) (int, error) {
	for _, c := range b {
		if f.done {
			break
		}

		// There is room for one line, and only one is ever given.
		if c == '\n' {
			f.got <- string(f.line)
			f.line, f.done = nil, true
			break
		}

		if f.line = append(f.line, c); len(f.line) > maxLine {
			return 0, fmt.Errorf("a first line of more than %d bytes", maxLine)
		}
	}

	// What follows the first line is taken and dropped, or the member would wait for a reader.
	return len(b), nil
}
