package maps

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// However many maps there are, one round of upkeep looks at a bounded number of them, and the rounds together at all.
func TestSurveyGoesInParts(t *testing.T) {
	o := newOwner(t, 2)
	const n = 2*surveyMaps + 100
	under := make([]answers, n)
	for i := range n {
		under[i] = o.begin(i%2, wire.OpSet, wire.AppendWriteBody(nil, &wire.WriteBody{Map: fmt.Appendf(nil, "m%05d", i), Key: []byte("k"), Value: []byte("v")}))
	}
	for i, a := range under {
		if got := o.wait(a); got.code != wire.CodeOK {
			t.Fatalf("map %d: %v %s", i, got.code, got.body)
		}
	}
	e := &evictor{s: o.Service} // that nobody else drives
	rounds, looked := 0, 0
	for e.survey(true); e.walk.walking; e.survey(false) {
		if rounds++; rounds > n {
			t.Fatal("it never ends")
		}
	}
	if looked = int(o.tallies.walk.Load()); rounds < n/surveyMaps || looked == 0 {
		t.Errorf("%d rounds for %d maps", rounds, n)
	}
	e.survey(false)
	if e.walk.walking {
		t.Error("a walk begins by itself")
	}
	// A map that was given a bound is found wherever it stands.
	o.configure("m04000", wire.MapConfig{Eviction: wire.EvictLRU, MaxEntries: 1})
	for e.survey(true); e.walk.walking; e.survey(false) {
	}
	found := 0
	e.bounds.each(func(b *bound) { found++ })
	if found != 1 {
		t.Errorf("%d maps with a bound", found)
	}
}

// Names that were used once make room for others in what is counted.
func TestTalliesOfMapsThatAreGone(t *testing.T) {
	var ts tallies
	for i := range maxTallies + 10 {
		ts.get(fmt.Appendf(nil, "old %d", i), true)
	}
	if ts.get([]byte("new"), true) != nil {
		t.Fatal("there is no bound")
	}
	for range 2 {
		ts.walk.Add(1)
		ts.seen("old 1")
		ts.forget()
	}
	kept := 0
	ts.each(func(string, *tally) { kept++ })
	if kept != 1 || ts.n != 1 {
		t.Errorf("%d are kept, counted as %d", kept, ts.n)
	}
	if kept := ts.get([]byte("new"), true); kept == nil || !kept.quiet {
		t.Errorf("%+v", kept)
	}
}
