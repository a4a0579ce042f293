package use

import "testing"

func TestWord(t *testing.T) {
	const created = 1000
	var w Word
	if _, read := w.Last(created); read || w.Hits() != 0 {
		t.Fatal("an entry that nobody read counts as read")
	}
	for range 3 {
		w.Count(created, created+5)
	}
	w.Count(created, created-7) // by a clock that is behind
	if at, read := w.Last(created); w.Hits() != 4 || !read || at != created+5 {
		t.Fatalf("%d hits, read %v at %d", w.Hits(), read, at-created)
	}
	w = readLimit<<timeBits | timeLimit
	w.Count(created, created+1<<50)
	if at, _ := w.Last(created); w.Hits() != readLimit || at != created+timeLimit {
		t.Fatalf("%d hits, read at %d: more than the word can show", w.Hits(), at-created)
	}
}
