package benchmarks

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

const (
	// heardStamp is the part of a value that listeners need: the stamp, and when the write began.
	heardStamp = 2 * stampSize
	// silent is for how long no event may come until those that are missing are not waited for any longer.
	silent = 5 * time.Second
)

// listeners hear what the callers write. Each has a client of its own, as it would in a program of its own.
type listeners struct {
	epoch   time.Time // from which the times in values count
	written atomic.Int64
	clients []*sdk.Client
	heard   []*ear
	progress
}

// progress is what all listeners together have heard. One goroutine waits for it.
type progress struct {
	events, lost atomic.Int64
	due          atomic.Int64  // events that are waited for
	done         chan struct{} // one slot: they have been heard
}

// ear is one listener. Few share a recorder.
type ear struct {
	l *listeners
	r atomic.Pointer[recorder]
}

// listen starts the listeners of a configuration.
func listen(ctx context.Context, cfg Config) (_ *listeners, err error) {
	l := &listeners{epoch: time.Now(), progress: progress{done: make(chan struct{}, 1)}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()

	for range cfg.Listeners {
		l.heard = append(l.heard, &ear{l: l})
	}
	l.begin()

	for _, e := range l.heard {
		client, err := cfg.Connect(ctx, cfg.Servers)
		if err != nil {
			return nil, err
		}
		l.clients = append(l.clients, client)
		m, err := sdk.OpenMap[string, []byte](client, cfg.Map)
		if err != nil {
			return nil, err
		}

		// The listener ends with its client.
		if _, err := m.AddEntryListener(ctx, sdk.EntryListener[string, []byte]{Added: e.hear, Updated: e.hear, Lost: e.miss}); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// hear takes in an event of a write.
func (e *ear) hear(event sdk.Event[string, []byte]) {
	now := time.Since(e.l.epoch)
	if len(event.New) >= heardStamp {
		e.r.Load().add(now-time.Duration(binary.BigEndian.Uint64(event.New[stampSize:])), nil)
	}
	if e.l.events.Add(1) == e.l.due.Load() {
		e.l.signal()
	}
}

func (e *ear) miss(sdk.Event[string, []byte]) { e.l.lost.Add(1) }

func (p *progress) signal() {
	select {
	case p.done <- struct{}{}:
	default:
	}
}

// begin forgets what was heard so far.
func (l *listeners) begin() {
	shared := make([]*recorder, min(len(l.heard), 2*runtime.GOMAXPROCS(0)))
	for i := range shared {
		shared[i] = newRecorder()
	}
	for i, e := range l.heard {
		e.r.Store(shared[i%len(shared)])
	}
	l.written.Store(0)
	l.events.Store(0)
	l.lost.Store(0)
	l.due.Store(-1)
}

// settle waits until every listener has heard of everything that was written since begin. If events are missing, or callers do not know
// what became of their writes, it waits until nothing comes any more.
func (l *listeners) settle(ctx context.Context) {
	l.due.Store(l.written.Load() * int64(len(l.heard)))
	quiet := time.NewTimer(silent)
	defer quiet.Stop()
	for before := int64(-1); ; {
		heard := l.events.Load()
		if heard == l.due.Load() {
			return
		}

		select {
		case <-l.done:
		case <-ctx.Done():
			return
		case <-quiet.C:
			if heard == before {
				return
			}
			before = heard
			quiet.Reset(silent)
		}
	}
}

// report adds what was heard within a time to a round.
func (l *listeners) report(round *Round, within time.Duration) {
	all := newRecorder()
	seen := make(map[*recorder]bool)
	for _, e := range l.heard {
		if r := e.r.Load(); !seen[r] {
			seen[r] = true
			all.merge(r)
		}
	}
	round.Events, round.EventsLost = l.events.Load(), l.lost.Load()
	round.EventsPerSecond = float64(round.Events) / within.Seconds()
	round.EventP50, round.EventP99, round.EventMax = all.quantile(0.5), all.quantile(0.99), all.max
}

// stamp puts the time into a value that is about to be written.
func (l *listeners) stamp(value []byte) {
	binary.BigEndian.PutUint64(value[stampSize:], uint64(time.Since(l.epoch)))
}

func (l *listeners) close() error {
	var errs []error
	for _, c := range l.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
