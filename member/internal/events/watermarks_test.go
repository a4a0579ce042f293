package events

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Each map is told of once a second, and never many of them at a time.
func TestWatermarkRound(t *testing.T) {
	for _, maps := range []int{0, 1, 3, 1200} {
		var names []string
		for i := range maps {
			names = append(names, fmt.Sprint("map", i))
		}
		var r watermarkRound
		start := time.Unix(100, 0)
		now := start
		last := make(map[string]time.Time)
		heard, burst, most := 0, 0, 0
		for now.Before(start.Add(10 * watermarkEvery)) {
			due, wait := r.next(now, func() []string { return names })
			if len(due) == 0 {
				if wait < watermarkPause || wait > watermarkEvery {
					t.Fatalf("%d maps: a pause of %v", maps, wait)
				}
				now, most, burst = now.Add(wait), max(most, burst), 0
				continue
			}
			for _, name := range due {
				heard++
				burst++
				if before, ok := last[name]; ok && now.Sub(before) > watermarkEvery+2*watermarkPause {
					t.Fatalf("%d maps: %s is not told of for %v", maps, name, now.Sub(before))
				}
				last[name] = now
			}
		}
		if len(last) != maps || heard < 9*maps || heard > 10*maps {
			t.Errorf("%d maps: %d of them are told of, %d times", maps, len(last), heard)
		}
		if most > surveyMaps {
			t.Errorf("%d maps: %d at a time", maps, most)
		}
	}
}

// watermarkOf returns what a message says, which must be one.
func watermarkOf(t *testing.T, m *nats.Msg) wire.Watermark {
	t.Helper()
	if m == nil {
		t.Fatal("there is no watermark")
	}
	w, err := wire.DecodeWatermark(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A watermark says where the map stands in the partitions that can show that they are owned here, as of before they were asked.
func TestWatermarkVouches(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7}
	p, heard := publisherFor(t, o, 2, wire.WatermarkSubject("m"))
	p.Interest("m")
	o.write("k")
	p.survey(time.Now())
	p.sendWatermarks()
	w := watermarkOf(t, heard())
	if w.AsOf != 5000 || len(w.Positions) != 2 || w.Positions[1] != (wire.Position{Partition: 1, Epoch: 7, Pos: 1, Quiet: 1}) {
		t.Errorf("the watermark is %+v", w)
	}
	if heard() != nil {
		t.Error("there is another watermark")
	}
	if fmt.Sprint(o.majority) != "[false false]" {
		t.Errorf("a majority was asked: %v", o.majority)
	}
}

// Who cannot show that it owns a partition vouches for nothing: another may own it, and have acknowledged more.
func TestNoWatermarkWithoutALease(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7, silent: true}
	p, heard := publisherFor(t, o, 2, wire.WatermarkSubject("m"))
	p.Interest("m")
	o.write("k")
	p.survey(time.Now())
	p.sendWatermarks()
	if heard() != nil {
		t.Error("a watermark was sent")
	}
}

// A partition that takes long does not hold back what is known of the others, and is not told of as of then.
func TestWatermarkWaitsForNobody(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7, vouching: make([]func(), 0, 2)}
	p, heard := publisherFor(t, o, 2, wire.WatermarkSubject("m"))
	p.Interest("m")
	s := p.lookAt([]string{"m"})
	o.vouching[1]()
	if p.sendWatermarks(); heard() != nil {
		t.Fatal("the survey ended early")
	}

	p.endSurvey(s)
	<-p.wake
	p.sendWatermarks()
	if w := watermarkOf(t, heard()); len(w.Positions) != 1 || w.Positions[0].Partition != 1 {
		t.Errorf("the watermark is %+v", w)
	}

	o.vouching[0]()
	p.sendWatermarks()
	if heard() != nil {
		t.Error("there is another watermark")
	}
}

// One map that insists on a majority is enough to ask one.
func TestWatermarkByMajority(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7}
	p, _ := publisherFor(t, o, 1, wire.WatermarkSubject("m"))
	p.Interest("m")
	p.Interest("quorum")
	p.survey(time.Now())
	if fmt.Sprint(o.majority) != "[true]" {
		t.Errorf("a majority was asked: %v", o.majority)
	}
}
