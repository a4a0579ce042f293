package nearcache

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

// first is a version of the first generation.
func first(counter uint64) uint64 { return 1<<44 + counter }

// at is a moment at which the cache is fresh.
func at(now int64) Moment { return Moment{Now: now, Fresh: now} }

// scene is a cache in which one key is read again and again.
type scene struct {
	*Cache
	t *testing.T
}

const part1, now0 = 1, int64(1_000_000)

var key = []byte("key")

func newScene(t *testing.T, cfg Config) *scene {
	t.Helper()
	cfg.Partitions, cfg.MaxEntries = 3, max(cfg.MaxEntries, 10)
	s := &scene{New(cfg), t}
	t.Cleanup(s.checkCounts)
	return s
}

// checkCounts compares what the cache counts with what it holds.
func (s *scene) checkCounts() {
	s.t.Helper()
	n, size := 0, int64(0)
	for _, e := range s.copies.All() {
		n++
		size += e.size
	}
	if got := s.Stats(); got.Entries != n || got.Bytes != size {
		s.t.Errorf("%d copies of %d bytes are counted as %d of %d", n, size, got.Entries, got.Bytes)
	}
	for i := range s.parts {
		if s.parts[i].loads != nil {
			s.t.Errorf("partition %d has loads under way", i)
		}
	}
}

// answer is that of an owner that has come to a position and a version of the same number.
func answer(n uint64) *Answer {
	return &Answer{Place: Place{1, n}, AsOf: first(n), Found: true, Version: first(1), Value: "value", Size: 5}
}

// begin begins a load of key while the client has come to position 5.
func (s *scene) begin() *Load {
	l := s.Begin(part1, key)
	l.From(Place{1, 5})
	return l
}

// keeps fails the test unless a load ends with a copy, or without.
func (s *scene) keeps(want bool, l *Load, a *Answer) {
	s.t.Helper()
	if got := s.Install(l, a, now0, false); got != want {
		s.t.Fatalf("Install reports %v, want %v", got, want)
	}
	s.serves(want, at(now0))
}

// serves fails the test unless there is a copy at a moment, or none.
func (s *scene) serves(want bool, m Moment) {
	s.t.Helper()
	e, _ := s.Get(part1, key, m)
	if (e != nil) != want || (s.Peek(part1, key, m) != nil) != want {
		s.t.Fatalf("Get finds %v at %v, want a copy: %v", e, m, want)
	}
}

func TestGetCounts(t *testing.T) {
	s := newScene(t, Config{})
	s.serves(false, at(now0))
	s.keeps(true, s.begin(), answer(5))
	s.serves(true, Moment{Now: now0 + 2500, Fresh: now0})
	s.serves(false, Moment{Now: now0 + 2501, Fresh: now0})
	s.serves(false, Moment{Now: now0})
	// A member's clock may be ahead, by so much. What is later is of another clock, and says nothing of how old the copy is.
	s.serves(true, Moment{Now: now0, Fresh: now0 + 1000})
	s.serves(false, Moment{Now: now0, Fresh: now0 + 1001})

	want := Stats{Entries: 1, Bytes: 8, Hits: 3, Misses: 4, Bypasses: 3, MaxStaleness: 2500 * time.Millisecond}
	if got := s.Stats(); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
}

// An answer is kept by the rules of P9.4 only.
func TestInstall(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(*scene, *Load)
		answer    func(*Answer)
		gap       bool
		want      bool
	}{
		"a plain answer":                                 {want: true},
		"an owner that is behind the client":             {answer: func(a *Answer) { a.Pos = 4 }},
		"an owner of a later generation":                 {answer: func(a *Answer) { a.Generation = 2 }},
		"an owner of an earlier generation":              {answer: func(a *Answer) { a.Generation, a.Pos = 0, 9 }},
		"a gap":                                          {gap: true},
		"a later change of the key":                      {meanwhile: func(s *scene, _ *Load) { s.Invalidate(part1, key, first(6)) }},
		"a change that the owner knew of":                {meanwhile: func(s *scene, _ *Load) { s.Invalidate(part1, key, first(5)) }, want: true},
		"a later change of another key":                  {meanwhile: func(s *scene, _ *Load) { s.Invalidate(part1, []byte("x"), first(6)) }, want: true},
		"the key in another partition":                   {meanwhile: func(s *scene, _ *Load) { s.Invalidate(0, key, first(6)) }, want: true},
		"a change, and one before it":                    {meanwhile: func(s *scene, _ *Load) { s.Invalidate(part1, key, first(6)); s.Invalidate(part1, key, first(3)) }},
		"an own write":                                   {meanwhile: func(s *scene, _ *Load) { s.Wrote(part1, key, first(6)) }},
		"an own write that the owner knew of":            {meanwhile: func(s *scene, _ *Load) { s.Wrote(part1, key, first(5)) }, want: true},
		"an own write of unknown outcome":                {meanwhile: func(s *scene, _ *Load) { s.Wrote(part1, key, 0) }},
		"an own write of unknown outcome of another key": {meanwhile: func(s *scene, _ *Load) { s.Wrote(part1, []byte("x"), 0) }, want: true},
		"CLEARED":                          {meanwhile: func(s *scene, _ *Load) { s.Cleared(part1, first(6)) }},
		"CLEARED that the owner knew of":   {meanwhile: func(s *scene, _ *Load) { s.Cleared(part1, first(5)) }, want: true},
		"LOST":                             {meanwhile: func(s *scene, _ *Load) { s.Forget(part1) }},
		"LOST in another partition":        {meanwhile: func(s *scene, _ *Load) { s.Forget(0) }, want: true},
		"a place that nobody knows":        {meanwhile: func(_ *scene, l *Load) { l.placed = false }},
		"an entry that has expired":        {answer: func(a *Answer) { a.Expires = now0 }},
		"an entry that is about to expire": {answer: func(a *Answer) { a.Expires = now0 + 1 }, want: true},
		"a max-idle that is too short":     {answer: func(a *Answer) { a.MaxIdle = 1 }},
		"no entry":                         {answer: func(a *Answer) { a.Found, a.Version = false, 0 }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, Config{})
			l, a := s.begin(), answer(5)
			if test.meanwhile != nil {
				test.meanwhile(s, l)
			}
			if test.answer != nil {
				test.answer(a)
			}
			if got := s.Install(l, a, now0, test.gap); got != test.want {
				t.Fatalf("Install reports %v", got)
			}
			s.serves(test.want, at(now0))
		})
	}
}

func TestNegative(t *testing.T) {
	s := newScene(t, Config{Negative: true})
	s.keeps(true, s.begin(), &Answer{Place: Place{1, 5}, AsOf: first(5)})
	if e, _ := s.Get(part1, key, at(now0)); e.Found || e.AsOf != first(5) {
		t.Fatalf("%+v", e)
	}

	// An absence has no version of its own. It is compared all the same.
	s.Invalidate(part1, key, first(5))
	s.serves(true, at(now0))
	s.Invalidate(part1, key, first(6))
	s.serves(false, at(now0))
}

// What drops a copy: a change that it does not know of.
func TestDrop(t *testing.T) {
	tests := map[string]struct {
		drop func(*scene)
		want bool
	}{
		"a later change":                  {drop: func(s *scene) { s.Invalidate(part1, key, first(6)) }},
		"a change that it knows of":       {drop: func(s *scene) { s.Invalidate(part1, key, first(5)) }, want: true},
		"a change in another partition":   {drop: func(s *scene) { s.Invalidate(0, key, first(6)) }, want: true},
		"an own write":                    {drop: func(s *scene) { s.Wrote(part1, key, first(6)) }},
		"an own write that it knows of":   {drop: func(s *scene) { s.Wrote(part1, key, first(5)) }, want: true},
		"an own write of unknown outcome": {drop: func(s *scene) { s.Wrote(part1, key, 0) }},
		"CLEARED":                         {drop: func(s *scene) { s.Cleared(part1, first(6)) }},
		"LOST":                            {drop: func(s *scene) { s.Forget(part1) }},
		"LOST in another partition":       {drop: func(s *scene) { s.Forget(2) }, want: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, Config{})
			s.keeps(true, s.begin(), answer(5))
			test.drop(s)
			s.serves(test.want, at(now0))
			// What was dropped comes back only by another load, and takes no room for long.
			s.Sweep(now0)
			if got := s.Stats().Entries; got != map[bool]int{true: 1}[test.want] {
				t.Fatalf("%d copies are held", got)
			}
			s.keeps(true, s.begin(), answer(7))
		})
	}
}

// Deadlines are the cache's own: they are exact, and the earliest holds.
func TestDeadlines(t *testing.T) {
	tests := map[string]struct {
		cfg    Config
		answer func(*Answer)
		end    int64 // milliseconds from now0; 0: never
	}{
		"none":                  {},
		"the entry's":           {answer: func(a *Answer) { a.Expires = now0 + 40 }, end: 40},
		"half of the max-idle":  {answer: func(a *Answer) { a.MaxIdle = 31 }, end: 15},
		"the cache's":           {cfg: Config{TTL: 30*time.Millisecond - 1}, end: 30},
		"the entry's is first":  {cfg: Config{TTL: time.Second}, answer: func(a *Answer) { a.Expires = now0 + 40 }, end: 40},
		"the cache's is first":  {cfg: Config{TTL: 30 * time.Millisecond}, answer: func(a *Answer) { a.Expires = now0 + 40 }, end: 30},
		"a max-idle for ever":   {answer: func(a *Answer) { a.MaxIdle = 1 << 62 }},
		"the cache's, for ever": {cfg: Config{TTL: 1<<63 - 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, test.cfg)
			a := answer(5)
			if test.answer != nil {
				test.answer(a)
			}
			s.keeps(true, s.begin(), a)
			if test.end == 0 {
				s.serves(true, at(now0+1<<40))
				return
			}
			s.serves(true, at(now0+test.end-1))
			s.serves(false, at(now0+test.end))
			s.Sweep(now0 + test.end - 1)
			s.serves(true, at(now0))
			s.Sweep(now0 + test.end)
			s.serves(false, at(now0))
		})
	}
}

func TestMaxIdle(t *testing.T) {
	s := newScene(t, Config{MaxIdle: 10 * time.Millisecond})
	s.keeps(true, s.begin(), answer(5))
	for i := range int64(5) {
		s.serves(true, at(now0+9*i))
	}
	s.Sweep(now0 + 9*4 + 9)
	s.serves(false, at(now0+9*4+10))
	s.Sweep(now0 + 9*4 + 10)
	if n := s.Stats().Entries; n != 0 {
		t.Fatalf("%d copies are held", n)
	}
}

// Of two loads that were under way together, the answer that knows of more stays, whichever comes last.
func TestEarlierAnswerComesLast(t *testing.T) {
	s := newScene(t, Config{})
	early, late := s.begin(), s.begin()
	s.keeps(true, late, answer(9))
	if s.Install(early, answer(7), now0, false) {
		t.Fatal("the earlier answer has taken the place of the later")
	}
	if e, _ := s.Get(part1, key, at(now0)); e.AsOf != first(9) {
		t.Fatalf("%+v", e)
	}
}

func TestCancel(t *testing.T) {
	s := newScene(t, Config{})
	a, b, c := s.begin(), s.begin(), s.begin()
	s.Cancel(b)
	s.Invalidate(part1, key, first(6))
	s.Cancel(b)
	s.keeps(false, a, answer(5))
	s.keeps(false, c, answer(5))
	s.Cancel(s.begin())
}

// Types of keys may route one key to several partitions.
func TestKeyInTwoPartitions(t *testing.T) {
	s := newScene(t, Config{})
	s.keeps(true, s.begin(), answer(5))
	if e, _ := s.Get(0, key, at(now0)); e != nil {
		t.Fatal("found in another partition")
	}
}

func TestBounds(t *testing.T) {
	for name, cfg := range map[string]Config{
		"entries":           {MaxEntries: 20},
		"bytes":             {MaxEntries: 1000, MaxBytes: 20 * 105},
		"entries and bytes": {MaxEntries: 20, MaxBytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, cfg)
			for i := range 500 {
				l := s.Begin(part1, []byte(fmt.Sprintf("%05d", i)))
				l.From(Place{1, 5})
				a := answer(5)
				a.Size = 100
				s.Install(l, a, now0, false)
			}
			if got := s.Stats(); got.Entries > 20 || got.Entries < 15 || got.Bytes != int64(got.Entries)*105 {
				t.Fatalf("%+v", got)
			}
		})
	}

	s := newScene(t, Config{MaxBytes: 10})
	a := answer(5)
	a.Size = 8
	s.keeps(false, s.begin(), a)
}

func TestVerify(t *testing.T) {
	for share, want := range map[float64][2]int{0: {}, -1: {}, 1: {4000, 4000}, 5: {4000, 4000}, 0.25: {800, 1200}} {
		s := newScene(t, Config{Verify: share})
		s.keeps(true, s.begin(), answer(5))
		n := 0
		for range 4000 {
			if _, check := s.Get(part1, key, at(now0)); check {
				n++
			}
		}
		if n < want[0] || n > want[1] {
			t.Errorf("share %v: %d of 4000 hits are to be checked", share, n)
		}
	}
}

func TestHottest(t *testing.T) {
	s := newScene(t, Config{})
	for i := range 5 {
		l := s.Begin(i%3, []byte(strconv.Itoa(i)))
		l.From(Place{1, 5})
		s.Install(l, answer(5), now0, false)
	}
	s.Forget(1)

	got := map[string]int{}
	s.Hottest(now0, func(partition int, key string) bool { got[key] = partition; return len(got) < 3 })
	if len(got) != 3 || got["0"] != 0 || got["2"] != 2 || got["3"] != 0 {
		t.Fatalf("%v", got)
	}
}

// Whatever happens at the same time, a reader never finds a copy that a change dropped before the reader began.
func TestConcurrentChanges(t *testing.T) {
	s := newScene(t, Config{MaxEntries: 50})
	var wg sync.WaitGroup
	defer wg.Wait()

	for part := range 3 {
		var mu sync.Mutex // the owner: guards its version, and the order of its events
		version := uint64(5)
		told := make([]uint64, 20) // by key: the version of the last change that was delivered. Belongs to mu
		wg.Go(func() {
			for i := range 3000 {
				mu.Lock()
				version++
				k := i % len(told)
				switch {
				case i%500 == 499:
					s.Forget(part)
				case i%300 == 299:
					s.Cleared(part, first(version))
				default:
					s.Invalidate(part, []byte{byte(k)}, first(version))
				}
				told[k] = version
				mu.Unlock()
			}
		})
		for range 2 {
			wg.Go(func() {
				for i := range 5000 {
					k := i % len(told)
					key := []byte{byte(k)}
					mu.Lock()
					least := first(told[k])
					mu.Unlock()
					if e, _ := s.Get(part, key, at(now0)); e != nil && e.AsOf < least {
						t.Errorf("a copy as of %d is served after the change %d was delivered", e.AsOf, least)
						return
					}

					l := s.Begin(part, key)
					mu.Lock()
					a := answer(version)
					mu.Unlock()
					l.From(Place{1, 5})
					s.Install(l, a, now0, false)
				}
			})
		}
	}
}

func BenchmarkHit(b *testing.B) {
	c := New(Config{Partitions: 271, MaxEntries: 10_000, Verify: 0.0001})
	keys := make([][]byte, 1000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user:%06d", i)
		l := c.Begin(i%271, keys[i])
		l.From(Place{1, 5})
		c.Install(l, answer(5), now0, false)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if e, _ := c.Get(i%271, keys[i], at(now0)); e == nil {
			b.Fatal("a miss")
		}
		if i++; i == len(keys) {
			i = 0
		}
	}
}
