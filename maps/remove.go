package maps

import (
	"bytes"
	"errors"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/query"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// removeLook bounds the entries that one OpRemoveAll looks at: the partition is locked for reading meanwhile.
	removeLook = 1000
	// removeMax and removeBytes bound the entries that it removes, and the bytes of their keys.
	removeMax   = 512
	removeBytes = 256 << 10
	// removeRead bounds the bytes of keys and values that it looks at, if its predicate may ask for values, but not before one entry. Values
	// that are replaced meanwhile stay in memory until it has chosen.
	removeRead = 1 << 20
	// removeTime is for how long it evaluates its predicate, but it does not end before one key.
	removeTime = 5 * time.Millisecond
	// removeHeld is about what it takes until it is answered.
	removeHeld = 72 << 10
)

// removal is one OpRemoveAll on its way. A linearizable read notes some entries, a choice among them follows, and then an operation removes
// the chosen entries that were not written since. The operation has the identity of the call: a copy that chose other entries gets the first
// result.
//
// Choosing may take long, since keys, values and patterns may be long. The service's chooser does it, with no lock held. Only the owner
// evaluates the predicate: the log has what it chose, so replicas that would judge an entry otherwise do not differ.
type removal struct {
	op    entry.Op // but for its body
	where wire.Predicate
	name  []byte
	after []byte
	retry bool // an earlier copy may have been executed; only the log knows

	seen []seenKey // in the order of state.CompareKeys. The slices are the state's own
	more bool      // there may be keys after those

	chosen wire.RemovalBody // its slices are the state's own
	code   wire.Code        // why nothing is removed
	text   string
}

// seenKey is a key that has an entry or a load. A value that is being loaded is as old as the entries that are removed, so the load counts too.
type seenKey struct {
	key     []byte
	value   []byte // only if the predicate may ask for it
	version uint64 // 0: it has no entry
}

func (s *Service) removeAll(req *wire.Request, caller Caller, at Moment) (flush bool) {
	b, err := wire.DecodeRemoveBody(req.Body)
	if err != nil {
		refuse(req.ID, caller, err)
		return false
	}

	c := newCall(s, req, caller, at)
	c.removal = &removal{op: entry.Op{Code: req.Op, Client: req.Client, Seq: req.Seq, Lowest: req.Lowest, Deadline: req.Deadline},
		where: b.Where, name: bytes.Clone(b.Map), after: bytes.Clone(b.After), retry: req.Flags&wire.FlagRetry != 0}

	// A removal keeps keys until it is answered, which may be many at a time.
	if !c.hold(removeHeld) {
		c.free()
		refuse(req.ID, caller, errWaiting)
		return false
	}

	c.tally = s.tallyOf(c.removal.name, true)
	s.cfg.Host.Read(int(req.Partition), c)
	return false
}

// look notes the next keys in one order: keys with entries, and keys with loads.
func (r *removal) look(st *state.State) {
	r.seen, r.code = make([]seenKey, 0, 64), wire.CodeOK
	values, most := r.where.Kind == wire.PredicateText, 0
	if values {
		most = removeRead
	}
	last := st.Scan(r.name, r.after, removeLook, most, func(key []byte, v state.Entry) bool {
		k := seenKey{key: key, version: v.Version}
		if values {
			k.value = v.Value
		}
		r.seen = append(r.seen, k)
		return true
	})

	// The next page begins behind this key, so loads beyond it are for the next page too.
	r.more = last != nil

	loading := make([]seenKey, 0)
	st.EachLoad(r.name, r.after, func(key []byte) bool {
		if r.more && state.CompareKeys(key, last) > 0 {
			return false
		}
		loading = append(loading, seenKey{key: key})
		return len(loading) < removeLook
	})

	// There may be more loads before the last entry: what comes after the last load is left for the next call.
	if len(loading) == removeLook {
		end := loading[len(loading)-1].key
		for r.more = true; len(r.seen) > 0 && state.CompareKeys(r.seen[len(r.seen)-1].key, end) > 0; {
			r.seen = r.seen[:len(r.seen)-1]
		}
	}

	r.seen = merged(r.seen, loading)
	if r.more && len(r.seen) == 0 { // everything in this page has expired
		r.chosen.Next = last
	}
}

// merged returns two lists, whose keys differ, in their order.
func merged(a, b []seenKey) []seenKey {
	if len(b) == 0 {
		return a
	}
	// No key is in both lists: a load exists only while the key has no entry.
	out := make([]seenKey, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if state.CompareKeys(a[0].key, b[0].key) < 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// selector is a compiled predicate.
type selector struct {
	glob  wire.Glob
	query *query.Query // nil: only the glob counts
}

func selectorOf(p *wire.Predicate) (s selector, err error) {
	if p.Kind == wire.PredicateText {
		s.query, err = query.Parse(p.Text)
	} else {
		s.glob, err = wire.CompileGlob(p.Text)
	}
	return s, err
}

var errNoStrings = errors.New("the map has keys that are no strings")

// selects reports whether a removal takes k.
func (s *selector) selects(k *seenKey) (bool, error) {
	switch {
	// Nobody knows what is being loaded. It must not be stored if it is what the caller wants gone.
	case s.query != nil && k.version == 0 && s.query.UsesValue():
		return s.query.EvalKey(k.key) != query.False, nil
	case s.query != nil:
		return s.query.Matches(k.key, k.value), nil
	}

	text, ok := codec.KeyText(k.key)
	// No glob names such a key, and a load alone is no reason to refuse the call.
	if !ok && k.version != 0 {
		return false, errNoStrings
	}
	return ok && s.glob.Match(string(text)), nil
}

// choose evaluates the predicate on the noted keys, until it has enough keys or late reports that its time is up.
func (r *removal) choose(late func() bool) {
	where, err := selectorOf(&r.where)
	if err != nil {
		r.code, r.text = codeOf(err), err.Error()
		return
	}

	r.chosen = wire.RemovalBody{Map: r.name, Next: r.chosen.Next}
	size := 0
	for i := range r.seen {
		k := &r.seen[i]
		selected, err := where.selects(k)
		if err != nil {
			r.code, r.text = codeOf(err), err.Error()
			return
		}

		if selected {
			r.chosen.Keys, r.chosen.Versions = append(r.chosen.Keys, k.key), append(r.chosen.Versions, k.version)
			// Keys count for the size of the operation. Values stay where they are.
			size += len(k.key)
		}

		enough := len(r.chosen.Keys) == removeMax || size >= removeBytes || late()
		// The next step begins where this step ends. Behind the last key of a page the map may have more.
		if (i < len(r.seen)-1 && enough) || i == len(r.seen)-1 && r.more {
			r.chosen.Next = k.key
			return
		}
	}
}

// remove proposes the removal of the chosen entries. An empty choice needs no entry in the log, unless an earlier copy may have removed
// something: then only the log has the result.
func (c *call) remove() {
	r := c.removal
	switch {
	case r.code != wire.CodeOK:
		c.caller.Answer(c.id, r.code, []byte(r.text))
	case len(r.chosen.Keys) == 0 && !r.retry:
		// The log never hears of this call, so it is counted here.
		if c.tally != nil {
			c.tally.done(c.s, c.op, c.partition, elapsed()-c.started)
		}
		c.caller.Answer(c.id, wire.CodeOK, wire.AppendRemoveResult(nil, &wire.RemoveResult{Next: r.chosen.Next}))
	default:
		r.op.Keys = len(r.chosen.Keys)
		r.op.Body = wire.AppendRemovalBody(nil, &r.chosen)
		s, p := c.s, int(c.partition) // c belongs to the host from Submit on
		s.cfg.Host.Submit(p, &r.op, c)
		s.cfg.Host.Flush(p)
		return
	}
	c.free()
}
