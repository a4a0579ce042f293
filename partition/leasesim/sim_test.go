package leasesim

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	histories = 6000
	steps     = 5000
)

// With all rules no read is stale, whatever comes about.
func TestNoReadIsStale(t *testing.T) {
	var all Counts
	for seed := range uint64(histories) {
		stale, c := Run(seed, steps, None)
		if stale != nil {
			t.Fatal(stale)
		}
		all.Owners += c.Owners
		all.Refused += c.Refused
		all.Released += c.Released
		all.Freed += c.Freed
		all.Writes += c.Writes
		all.RefusedWrites += c.RefusedWrites
		all.Reads += c.Reads
		all.Deferred += c.Deferred
		all.Held += c.Held
	}
	t.Logf("%+v", all)
	for _, n := range []int{all.Owners, all.Refused, all.Released, all.Freed, all.Writes, all.RefusedWrites, all.Reads, all.Deferred, all.Held} {
		require.Greater(t, n, histories/4, "everything that the rules speak of comes about")
	}
}

// Each rule is needed: without it some read is stale.
func TestEachRuleIsNeeded(t *testing.T) {
	for bug := None + 1; bug < bugs; bug++ {
		t.Run(bug.String(), func(t *testing.T) {
			for seed := range uint64(histories) {
				if stale, _ := Run(seed, steps, bug); stale != nil {
					t.Log(stale)
					return
				}
			}
			t.Fatalf("not noticed in %d histories", histories)
		})
	}
}

func TestAHistoryIsItsSeed(t *testing.T) {
	for seed := range uint64(20) {
		a, b := Run(seed, steps, AnswersAtOnce)
		c, d := Run(seed, steps, AnswersAtOnce)
		require.Equal(t, a, c)
		require.Equal(t, b, d)
	}
}

func TestStaleSaysWhere(t *testing.T) {
	require.EqualError(t, &Stale{Seed: 1, Step: 2, Process: 3, Read: 4, Seen: 5},
		"seed 1, step 2: process 3 read write 4 after write 5 had been seen")
}
