package role

import "time"

// ServeAfter returns the time before which nothing is answered under the present ownership; zero: answers are free.
func (ro *Role) ServeAfter() time.Time { return ro.serveAfter }

// hold keeps a batch until it may be answered.
func (ro *Role) hold(in Hold, fx *Effects) {
	if ro.stopped {
		// No timer looks at held batches after the stop, so this one would wait for ever.
		fx.Abandon = append(fx.Abandon, in.Batch)
		return
	}
	ro.held = append(ro.held, in)

	// The replica has one timer for all of them. It is set for the batch that may be answered first.
	fx.WakeAt = ro.wakeAt()
}

// answer lets those of the held batches go that may be answered.
func (ro *Role) answer(now Now, fx *Effects) {
	keep := ro.held[:0]
	for _, h := range ro.held {
		if h.NotBefore.After(now.Time) {
			keep = append(keep, h)
		} else {
			fx.Answer = append(fx.Answer, h.Batch)
		}
	}
	ro.held = keep
	fx.WakeAt = ro.wakeAt()
}

// wakeAt returns when the next of the held batches may be answered; zero if there is none.
func (ro *Role) wakeAt() (next time.Time) {
	for _, h := range ro.held {
		if next.IsZero() || h.NotBefore.Before(next) {
			next = h.NotBefore
		}
	}
	return next
}
