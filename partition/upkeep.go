package partition

import "github.com/gridiron-io/gridiron/partition/entry"

// keepUp proposes what the machine wants proposed for its own sake, unless that is under way.
func (p *proposer) keepUp() {
	p.mu.Lock()
	// The claim is made first. The machine is asked without p.mu: the state's lock comes before it in the order.
	busy := p.upkeep.busy
	p.upkeep.busy = true
	op := p.upkeep.op
	p.mu.Unlock()
	if busy {
		return
	}

	if op == nil {
		op, _ = p.r.upkeep(nil, entry.Result{})
		p.mu.Lock()
		p.upkeep.op, p.upkeep.busy = op, op != nil
		p.mu.Unlock()
		if op == nil {
			return // the state was freed
		}
	}

	p.submit(op, (*upkeepDone)(p))
	p.flush()
}

// upkeep asks the machine for the next upkeep; nil if the state was freed.
func (r *replica) upkeep(done *entry.Op, result entry.Result) (next *entry.Op, again bool) {
	r.state.RLock()
	defer r.state.RUnlock()
	if r.state.machine == nil {
		return nil, false
	}
	return r.state.machine.Upkeep(done, result)
}

// upkeepDone learns the end of an upkeep.
type upkeepDone proposer

// Complete lets the next upkeep begin: at once if the machine says so, because more may be due; otherwise with a later tick.
func (u *upkeepDone) Complete(o Outcome, r entry.Result) {
	p := (*proposer)(u)
	p.mu.Lock()
	done := p.upkeep.op
	p.mu.Unlock()

	var next *entry.Op
	var again bool
	// After another outcome nothing is known of what the upkeep found, and the next one begins as the first.
	if o == Applied {
		next, again = p.r.upkeep(done, r)
	}

	p.mu.Lock()
	// The next upkeep may begin from here on.
	p.upkeep.op, p.upkeep.busy = next, false
	p.mu.Unlock()
	if again {
		p.r.host.notify(p.r)
	}
}
