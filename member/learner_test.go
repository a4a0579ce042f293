package member

import (
	"testing"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A learner beside a single voter, whose replica hears of nothing, answers in time with all that was committed when it was asked. Where the leader
// cannot be asked, the learner says that what it knows may be old.
func TestLearnerReadsWhatIsCommitted(t *testing.T) {
	t.Parallel()
	networks := []*deafNetwork{{}, {}}
	ms, _ := pair(t, func(i int, cfg *Config) { cfg.Network = networks[i] })
	waitForVoters(t, 1, ms...)
	voter, learner := ms[0], ms[1]
	networks[1].deaf.Store(true)

	read := func() (v *meta.View, confirmed bool) {
		t.Helper()
		code, body := learner.meta.AnswerRead(testContext(t), nil)
		if code != wire.CodeOK || len(body) == 0 {
			t.Fatalf("answered %v: %s", code, body)
		}
		st, err := meta.DecodeSnapshot(body[1:])
		if err != nil {
			t.Fatal(err)
		}
		return st.View(), body[0] == 1
	}
	for range 5 {
		res, err := voter.meta.Commit(testContext(t), &meta.RaiseLevel{Level: voter.metaView().Level + 1})
		if err != nil || !res.OK() {
			t.Fatal(res, err)
		}
		committed := voter.metaView()
		// On a busy machine an answer may come too late to be confirmed. One that is confirmed must have it all.
		var v *meta.View
		eventually(t, "a confirmed answer", func() (confirmed bool) { v, confirmed = read(); return confirmed })
		if v.Level < committed.Level {
			t.Errorf("it reads level %d; %d was committed", v.Level, committed.Level)
		}
		if err := learner.meta.Barrier(testContext(t)); err != nil || learner.metaView().Level < committed.Level {
			t.Errorf("it knows level %d, %v; %d was committed", learner.metaView().Level, err, committed.Level)
		}
	}

	voter.Kill()
	if _, confirmed := read(); confirmed {
		t.Error("nobody leads, and it says that its metadata are what is committed")
	}
}
