package events

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// watermarkEvery is how often the members say where the events of a map stand that somebody listens to.
	watermarkEvery = time.Second
	// watermarkPause is the least time between two looks at which watermarks are due.
	watermarkPause = 5 * time.Millisecond
	// surveyMaps is how many maps are looked at together: a partition without a lease makes one ReadIndex for all of them.
	surveyMaps = 64
	// surveyWithin bounds the wait for partitions that cannot show that they are owned here.
	surveyWithin = 300 * time.Millisecond
)

// watermarkRound is one second of watermarks: some maps after the others, spread over it.
type watermarkRound struct {
	began time.Time
	names []string
	done  int // of them
}

// next returns the next maps of which to tell, if any are due, else how long to wait. All that listened returns at the beginning of a
// round are told of in its second, in portions at even distances, so that no event waits for many of them.
func (r *watermarkRound) next(now time.Time, listened func() []string) (names []string, wait time.Duration) {
	if r.done == len(r.names) && now.Sub(r.began) >= watermarkEvery {
		*r = watermarkRound{began: now, names: listened()}
	}
	due := watermarkEvery
	if r.done < len(r.names) {
		due = watermarkEvery * time.Duration(r.done) / time.Duration(len(r.names))
	}
	if wait := due - now.Sub(r.began); r.done == len(r.names) || wait > 0 {
		return nil, max(wait, watermarkPause)
	}

	names = r.names[r.done:min(r.done+surveyMaps, len(r.names))]
	r.done += len(names)
	return names, 0
}

// survey is a look at where some maps stand in the partitions owned here.
type survey struct {
	names []string
	asOf  int64 // cluster time before the first partition was looked at

	mu       sync.Mutex        // guards the following
	standing [][]wire.Position // by map: in the partitions that have vouched
	left     int               // partitions that are looked at, and one until all are begun
	ended    bool
}

// survey looks at where the maps stand whose watermarks are due, and returns when to go on.
func (p *Publisher) survey(now time.Time) time.Duration {
	names, wait := p.round.next(now, p.listened)
	if len(names) == 0 {
		p.dropped.Expire()
		return wait
	}

	s := p.lookAt(names)
	// One partition without a majority must not hold back what is known of the others.
	time.AfterFunc(surveyWithin, func() { p.endSurvey(s) })
	return 0
}

// lookAt looks at where maps stand in the partitions owned here. The watermarks are sent when the survey has ended, see sendWatermarks.
//
// A watermark is a linearizable read of where a map stands: without a lease, or a ReadIndex that has ended, a partition is not in it. So a
// deposed owner vouches for nothing. Whoever has everything up to the watermark lacks nothing that anybody had been told by its time.
func (p *Publisher) lookAt(names []string) *survey {
	s := &survey{names: names, asOf: p.now(), standing: make([][]wire.Position, len(names)), left: 1}
	majority := slices.ContainsFunc(names, p.partitions.Majority)
	for i := range len(p.dirty) {
		if p.partitions.Serving(i) == 0 {
			continue
		}

		s.mu.Lock()
		s.left++
		s.mu.Unlock()

		var found []wire.Position
		p.partitions.Vouch(i, majority, func(st *state.State, epoch uint64, _ int64) {
			found = make([]wire.Position, len(names))
			for k, name := range names {
				found[k] = st.Standing([]byte(name))
				found[k].Partition, found[k].Epoch = uint32(i), epoch
			}
		}, func(vouched bool) {
			if !vouched {
				found = nil
			}
			p.surveyed(s, found)
		})
	}

	p.surveyed(s, nil)
	return s
}

// surveyed takes in where the maps of a survey stand in one partition; nil if that is not known. The last partition ends the survey.
func (p *Publisher) surveyed(s *survey, found []wire.Position) {
	s.mu.Lock()
	if !s.ended {
		for k := range found {
			s.standing[k] = append(s.standing[k], found[k])
		}
	}
	s.left--
	last := s.left == 0
	s.mu.Unlock()

	if last {
		p.endSurvey(s)
	}
}

// endSurvey has the watermarks of a survey sent, once.
func (p *Publisher) endSurvey(s *survey) {
	s.mu.Lock()
	before := s.ended
	s.ended = true
	s.mu.Unlock()
	if before {
		return
	}

	p.mu.Lock()
	p.looked = append(p.looked, s)
	p.mu.Unlock()
	p.notify()
}

// sendWatermarks sends the watermarks of the surveys that have ended.
func (p *Publisher) sendWatermarks() {
	for {
		p.mu.Lock()
		list := p.looked
		p.looked = nil
		p.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, s := range list {
			p.sendSurvey(s)
		}
	}
}

// sendSurvey sends the watermarks of one survey. It needs no lock: a survey that has ended does not change.
func (p *Publisher) sendSurvey(s *survey) {
	for k, name := range s.names {
		b := wire.Watermark{Member: p.self, AsOf: s.asOf, Positions: s.standing[k]}
		// Without a position it would tell nobody anything.
		if len(b.Positions) == 0 {
			continue
		}
		if err := p.bus.publish(wire.WatermarkSubject(name), wire.AppendWatermark(nil, &b)); err != nil {
			p.log.Debug("a watermark was not published", "map", name, "err", err)
		}

		// Events go first.
		select {
		case <-p.wake:
			p.publishDirty()
		default:
		}
	}
}

// listened returns the maps that somebody listens to.
func (p *Publisher) listened() []string {
	p.interests.RLock()
	defer p.interests.RUnlock()
	return slices.Collect(maps.Keys(p.interests.listeners))
}
