package memlog

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"weak"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// checkInvariants reports the first invariant of w that does not hold.
func (w *window) checkInvariants() error {
	if w.head > len(w.buf) {
		return fmt.Errorf("head %d of %d", w.head, len(w.buf))
	}
	zero := func(part string, ents []pb.Entry) error {
		for i := range ents {
			if ents[i].Index != 0 || ents[i].Cmd != nil {
				return fmt.Errorf("%s holds entry %d", part, ents[i].Index)
			}
		}
		return nil
	}
	if err := zero("the dead prefix", w.buf[:w.head]); err != nil {
		return err
	}
	if err := zero("the free capacity", w.buf[len(w.buf):cap(w.buf)]); err != nil {
		return err
	}
	for i, e := range w.live() {
		if want := w.prev + 1 + uint64(i); e.Index != want {
			return fmt.Errorf("entry %d where %d should be", e.Index, want)
		}
	}
	if want := sizeOf(w.live()); w.bytes != want {
		return fmt.Errorf("%d bytes counted, %d there", w.bytes, want)
	}
	return nil
}

// run returns entries first to last of a term, each with a Cmd of size bytes of its own.
func run(first, last, term uint64, size int) []pb.Entry {
	var ents []pb.Entry
	for i := first; i <= last; i++ {
		cmd := make([]byte, size)
		for j := range cmd {
			cmd[j] = byte(i + term)
		}
		ents = append(ents, pb.Entry{Index: i, Term: term, Type: pb.EncodedEntry, Key: i * term, Cmd: cmd})
	}
	return ents
}

// terms renders a log as index:term pairs.
func terms(ents []pb.Entry) string {
	s := ""
	for _, e := range ents {
		s += fmt.Sprintf("%d:%d ", e.Index, e.Term)
	}
	return s
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    func(w *window)
		want  string
		first uint64
		last  uint64
	}{
		{"empty", func(w *window) {}, "", 1, 0},
		{"append", func(w *window) { w.put(run(1, 2, 1, 8)); w.put(run(3, 3, 2, 8)) }, "1:1 2:1 3:2 ", 1, 3},
		{"overwrite a tail", func(w *window) { w.put(run(1, 4, 1, 8)); w.put(run(3, 3, 2, 8)) }, "1:1 2:1 3:2 ", 1, 3},
		{"overwrite and extend", func(w *window) { w.put(run(1, 3, 1, 8)); w.put(run(2, 5, 2, 8)) }, "1:1 2:2 3:2 4:2 5:2 ", 1, 5},
		{"overwrite everything", func(w *window) { w.put(run(1, 3, 1, 8)); w.put(run(1, 1, 2, 8)) }, "1:2 ", 1, 1},
		{"overwrite what was removed", func(w *window) { w.put(run(1, 5, 1, 8)); w.removeTo(4); w.put(run(3, 4, 2, 8)) }, "3:2 4:2 ", 3, 4},
		{"remove nothing", func(w *window) { w.put(run(1, 3, 1, 8)); w.removeTo(0) }, "1:1 2:1 3:1 ", 1, 3},
		{"remove a front", func(w *window) { w.put(run(1, 3, 1, 8)); w.removeTo(2) }, "3:1 ", 3, 3},
		{"remove a front again", func(w *window) { w.put(run(1, 3, 1, 8)); w.removeTo(2); w.removeTo(1) }, "3:1 ", 3, 3},
		{"remove all", func(w *window) { w.put(run(1, 3, 1, 8)); w.removeTo(3) }, "", 4, 3},
		{"remove more than there is", func(w *window) { w.put(run(1, 3, 1, 8)); w.removeTo(1 << 63) }, "", 4, 3},
		{"append after removal", func(w *window) { w.put(run(1, 3, 1, 8)); w.removeTo(3); w.put(run(4, 5, 1, 8)) }, "4:1 5:1 ", 4, 5},
		{"reset", func(w *window) { w.put(run(1, 3, 1, 8)); w.reset(10, 1) }, "", 11, 10},
		{"append after reset", func(w *window) { w.reset(10, 1); w.put(run(11, 12, 3, 8)) }, "11:3 12:3 ", 11, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w window
			c.do(&w)
			if err := w.checkInvariants(); err != nil {
				t.Fatal(err)
			}
			if w.head > 0 && w.head >= len(w.live()) {
				t.Errorf("a dead prefix of %d before %d entries", w.head, len(w.live()))
			}
			if got := terms(w.live()); got != c.want {
				t.Errorf("entries %q, want %q", got, c.want)
			}
			if w.first() != c.first || w.last() != c.last {
				t.Errorf("range [%d, %d], want [%d, %d]", w.first(), w.last(), c.first, c.last)
			}
		})
	}
}

func TestWindowBetween(t *testing.T) {
	var w window
	w.put(run(1, 9, 1, 8))
	w.removeTo(3)
	for _, c := range []struct {
		low, high uint64
		want      string
	}{
		{4, 6, "4:1 5:1 "}, {4, 5, "4:1 "}, {9, 10, "9:1 "}, {8, 1 << 63, "8:1 9:1 "},
		{3, 6, ""}, {0, 6, ""}, {10, 11, ""}, {5, 5, ""}, {6, 5, ""},
	} {
		if got := terms(w.between(c.low, c.high)); got != c.want {
			t.Errorf("between(%d, %d) = %q, want %q", c.low, c.high, got, c.want)
		}
	}
}

func TestCheckFollows(t *testing.T) {
	hole := append(run(4, 5, 1, 1), run(7, 7, 1, 1)...)
	back := append(run(4, 5, 1, 1), run(5, 5, 1, 1)...)
	for _, c := range []struct {
		name string
		ents []pb.Entry
		end  uint64
		ok   bool
	}{
		{"none", nil, 5, true}, {"next", run(6, 7, 1, 1), 5, true}, {"overlap", run(2, 3, 1, 1), 5, true},
		{"first of all", run(1, 1, 1, 1), 0, true}, {"hole before", run(7, 7, 1, 1), 5, false},
		{"hole within", hole, 5, false}, {"backwards within", back, 5, false}, {"index 0", run(0, 1, 1, 1), 5, false},
	} {
		if err := checkFollows(c.ents, c.end); errors.Is(err, ErrHole) == c.ok || (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.name, err, c.ok)
		}
	}
}

// What was removed or overwritten must be free at once, although the window and its array live on.
func TestWindowReleasesMemory(t *testing.T) {
	for _, c := range []struct {
		name string
		dead []int // positions of the entries that do must release
		do   func(w *window)
	}{
		{"a small front", []int{0}, func(w *window) { w.removeTo(1) }},
		{"most of it", []int{0, 1, 2, 3, 4, 5}, func(w *window) { w.removeTo(6) }},
		{"all", []int{0, 1, 2, 3, 4, 5, 6, 7}, func(w *window) { w.removeTo(8) }},
		{"an overwritten tail", []int{4, 5, 6, 7}, func(w *window) { w.put(run(5, 5, 2, 64)) }},
		{"a replaced log", []int{0, 1, 2, 3, 4, 5, 6, 7}, func(w *window) { w.reset(20, 1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w window
			cmds := make([]weak.Pointer[byte], 8)
			func() {
				ents := run(1, 8, 1, 64)
				w.put(ents)
				for i := range ents {
					cmds[i] = weak.Make(&ents[i].Cmd[0])
				}
			}()
			c.do(&w)
			runtime.GC()
			dead := map[int]bool{}
			for _, i := range c.dead {
				dead[i] = true
			}
			for i := range cmds {
				if alive := cmds[i].Value() != nil; alive == dead[i] {
					t.Errorf("Cmd of entry %d: alive %v, want %v", i+1, alive, !dead[i])
				}
			}
			runtime.KeepAlive(&w)
		})
	}
}

// A log that is cut as fast as it grows stays in one array and allocates nothing.
func TestWindowSteadyStateDoesNotAllocate(t *testing.T) {
	for _, keep := range []uint64{0, 7, 100, 1000} {
		t.Run(fmt.Sprintf("keep=%d", keep), func(t *testing.T) {
			var w window
			batch := run(1, 64, 1, 8)
			step := func() {
				next := w.last() + 1
				for i := range batch {
					batch[i].Index = next + uint64(i)
				}
				w.put(batch)
				if w.last() > keep {
					w.removeTo(w.last() - keep)
				}
			}
			for range 200 {
				step()
			}
			limit := int(8*keep) + 8*len(batch)
			if keep >= 100 { // with less it gives its array back each time, to be small while it is idle
				if n := testing.AllocsPerRun(500, step); n > 0.05 {
					t.Errorf("%v allocations per batch", n)
				}
			}
			if cap(w.buf) > limit {
				t.Errorf("an array of %d for %d entries", cap(w.buf), len(w.live()))
			}
			if err := w.checkInvariants(); err != nil {
				t.Error(err)
			}
		})
	}
}

// After a burst the array is given back.
func TestWindowShrinks(t *testing.T) {
	var w window
	w.put(run(1, 4096, 1, 1))
	w.removeTo(4090)
	if cap(w.buf) > smallest {
		t.Errorf("an array of %d for %d entries", cap(w.buf), len(w.live()))
	}
	w.removeTo(4096)
	if cap(w.buf) > smallest {
		t.Errorf("an array of %d for none", cap(w.buf))
	}
}
