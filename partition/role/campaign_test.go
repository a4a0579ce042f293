package role

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCampaignsAreOfOneVoterAtATime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		voters := rapid.IntRange(1, 6).Draw(t, "voters")
		first := rapid.Uint64Range(1, 1<<40).Draw(t, "term")
		start := time.Unix(1000, 0)
		all := make([]Campaign, voters)
		for i := range all {
			all[i].Begin(Death, 7, i, voters, first, start)
		}
		term := first
		for step := range 400 {
			if rapid.IntRange(0, 60).Draw(t, "raise") == 0 {
				term++
			}
			now := start.Add(time.Duration(step) * InjectEvery)
			due := 0
			for i := range all {
				if all[i].Due(term, now) {
					due++
				}
			}
			if due > 1 {
				t.Fatalf("%d of %d voters campaign at step %d, term %d", due, voters, step, term)
			}
		}
	})
}

func TestCampaignsGoRound(t *testing.T) {
	const voters = 3
	start := time.Unix(1000, 0)
	all := make([]Campaign, voters)
	for i := range all {
		all[i].Begin(Death, 7, i, voters, 5, start)
	}
	who := func(term uint64, at time.Duration) int {
		for i := range all {
			if all[i].Due(term, start.Add(at)) {
				return i
			}
		}
		return -1
	}
	for _, c := range []struct {
		term uint64
		at   time.Duration
		want int
	}{
		{5, 0, 0}, {5, 10 * time.Millisecond, -1}, {5, 20 * time.Millisecond, 0}, // the first at once, and told again
		{5, 299 * time.Millisecond, 0}, {5, 300 * time.Millisecond, 1}, // then the second
		{5, 899 * time.Millisecond, 1}, {5, 900 * time.Millisecond, 2}, {5, 2100 * time.Millisecond, 0}, // twice as long each
		{6, 2200 * time.Millisecond, -1}, {6, 2259 * time.Millisecond, -1}, // a new term: it may bring a leader
		{6, 2260 * time.Millisecond, 1}, // it did not: the next voter
	} {
		if got := who(c.term, c.at); got != c.want {
			t.Errorf("term %d after %v: voter %d campaigns, want %d", c.term, c.at, got, c.want)
		}
	}
	all[0].End()
	if all[0].Due(7, start.Add(time.Hour)) {
		t.Error("an idle replica campaigns")
	}
}

// A transferee whose log was too short to be elected gives the leader that it has deposed a turn, and has the next one itself.
func TestCampaignsOfATransfer(t *testing.T) {
	start := time.Now()
	var transferee, owner Campaign
	transferee.Begin(Transferred, 7, 0, 2, 5, start)
	owner.Begin(Transferred, 7, 1, 2, 5, start)
	for _, c := range []struct {
		term              uint64
		at                time.Duration
		transferee, owner bool
	}{
		{5, 0, true, false},
		{6, 10 * time.Millisecond, false, false},
		{6, 70 * time.Millisecond, false, true}, // the transferee's term has brought no leader
		{7, 80 * time.Millisecond, false, false},
		{7, 199 * time.Millisecond, false, false},
		{7, 200 * time.Millisecond, true, false}, // each term is given twice as long as the one before
	} {
		if h, o := transferee.Due(c.term, start.Add(c.at)), owner.Due(c.term, start.Add(c.at)); h != c.transferee || o != c.owner {
			t.Errorf("term %d after %v: the transferee campaigns: %t, want %t; the owner: %t, want %t", c.term, c.at, h, c.transferee, o, c.owner)
		}
	}
}

// A deposed leader campaigns once if that brings no leader: after the other's time, or at once after the next campaign without success.
func TestCampaignOfADeposedLeader(t *testing.T) {
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	var patient Campaign
	patient.Begin(Deposed, 1, 1, 2, 6, start)
	if patient.Due(6, at(FirstPeriod-time.Millisecond)) {
		t.Error("it campaigns while the other may be elected")
	}
	if !patient.Due(6, at(FirstPeriod)) || !patient.Due(6, at(FirstPeriod+InjectEvery)) {
		t.Error("it does not campaign when the other's time is over")
	}
	if patient.Due(7, at(time.Second)) || patient.Due(7, at(time.Hour)) || patient != (Campaign{}) {
		t.Error("it goes on after it has campaigned")
	}
	var pressed Campaign
	pressed.Begin(Deposed, 1, 1, 2, 6, start)
	if pressed.Due(7, at(10*time.Millisecond)) || !pressed.Due(7, at(10*time.Millisecond+BetweenTerms)) {
		t.Error("the other has campaigned once more without success, and it does not campaign when that is certain")
	}
}
