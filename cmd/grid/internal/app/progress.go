package app

import (
	"fmt"
	"io"
	"strings"
)

// progress shows on a terminal how far an import or export is; elsewhere it shows nothing.
type progress struct {
	out     io.Writer // nil: no terminal
	size    int64     // bytes of the file; 0: unknown
	read    int64
	entries int
}

func (inv *invocation) progress(size int64) *progress {
	p := &progress{size: size}
	if isTerminal(inv.Err) {
		p.out = inv.Err
	}
	return p
}

// reads returns in with its bytes counted.
func (p *progress) reads(in io.Reader) io.Reader { return countingReader{in, &p.read} }

type countingReader struct {
	io.Reader
	n *int64
}

func (r countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	*r.n += int64(n)
	return n, err
}

const barWidth = 30

// stored shows that so many more entries are done.
func (p *progress) stored(n int) {
	p.entries += n
	if p.out == nil {
		return
	}

	bar := ""
	// The size of a pipe is not known, so there is a count and no bar.
	if p.size > 0 {
		done := int(min(p.read, p.size) * barWidth / p.size)
		bar = "[" + strings.Repeat("#", done) + strings.Repeat(".", barWidth-done) + "] "
	}

	// A return without a new line overwrites the bar in place.
	_, _ = fmt.Fprintf(p.out, "\r%s%d entries", bar, p.entries)
}

// end ends the line on which progress was shown.
func (p *progress) end() {
	if p.out != nil && p.entries > 0 {
		_, _ = fmt.Fprintln(p.out)
	}
}
