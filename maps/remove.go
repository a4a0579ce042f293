package maps

import (
	"bytes"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// removeLook bounds the entries that one OpRemoveAll looks at: the partition is locked for reading meanwhile.
	removeLook = 10_000
	// removeMax and removeBytes bound the entries that it removes, and the bytes of their keys.
	removeMax   = 512
	removeBytes = 256 << 10
)

// removal is one OpRemoveAll on its way: a linearizable read that chooses entries, and then an operation that removes those which
// are still what they were. The operation has the identity of the call, so that a copy which chose others gets the first result.
type removal struct {
	op    entry.Op // but for its body
	where wire.Predicate
	name  []byte
	after []byte
	retry bool // an earlier copy may have been executed: the log knows

	chosen wire.RemovalBody // its slices are the state's own
	code   wire.Code        // why nothing is removed
	text   string
}

func (s *Service) removeAll(req *wire.Request, caller Caller) (flush bool) {
	b, err := wire.DecodeRemoveBody(req.Body)
	if err != nil {
		refuse(req.ID, caller, err)
		return false
	}
	c := newCall(s, req, caller)
	c.removal = &removal{op: entry.Op{Code: req.Op, Client: req.Client, Seq: req.Seq, Lowest: req.Lowest, Deadline: req.Deadline},
		where: b.Where, name: bytes.Clone(b.Map), after: bytes.Clone(b.After), retry: req.Flags&wire.FlagRetry != 0}
	c.tally = s.tallyOf(c.removal.name, true)
	s.cfg.Host.Read(int(req.Partition), c)
	return false
}

// choose chooses the entries that are to be removed.
func (c *call) choose(st *state.State) {
	r := c.removal
	r.chosen, r.code = wire.RemovalBody{Map: r.name}, wire.CodeOK
	looked, size := 0, 0
	var last []byte
	more := st.Scan(r.name, r.after, 0, 0, func(key []byte, v state.View) bool {
		text, ok := codec.KeyText(key)
		if !ok {
			r.code, r.text = wire.CodeInvalid, "the map has keys that are no strings"
			return false
		}
		last = key
		if wire.MatchGlob(r.where.Glob, string(text)) {
			r.chosen.Keys, r.chosen.Versions = append(r.chosen.Keys, key), append(r.chosen.Versions, v.Version)
			size += len(key)
		}
		looked++
		return looked < removeLook && len(r.chosen.Keys) < removeMax && size < removeBytes
	})
	if more {
		r.chosen.Next = last
		return
	}
	st.EachLoad(r.name, func(key []byte) { // what is loaded now is as old as what is removed
		if text, ok := codec.KeyText(key); ok && size < removeBytes && wire.MatchGlob(r.where.Glob, string(text)) {
			r.chosen.Keys, r.chosen.Versions = append(r.chosen.Keys, key), append(r.chosen.Versions, 0)
			size += len(key)
		}
	})
}

// removeChosen proposes the removal of what was chosen. Where that is nothing there is nothing to remember either, but an earlier
// copy may have removed it all.
func (c *call) removeChosen() {
	r := c.removal
	switch {
	case r.code != wire.CodeOK:
		c.caller.Answer(c.id, r.code, []byte(r.text))
	case len(r.chosen.Keys) == 0 && !r.retry:
		if c.tally != nil {
			c.tally.done(c.s, c.op, c.partition, elapsed()-c.started)
		}
		c.caller.Answer(c.id, wire.CodeOK, wire.AppendRemoveResult(nil, &wire.RemoveResult{Next: r.chosen.Next}))
	default:
		r.op.Body = wire.AppendRemovalBody(nil, &r.chosen)
		s, p := c.s, int(c.partition) // c is the host's from here on
		s.cfg.Host.Submit(p, &r.op, c)
		s.cfg.Host.Flush(p)
		return
	}
	c.free()
}
