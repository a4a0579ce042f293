package leasesim

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	histories = 6000
	steps     = 5000
	// enough is how many histories show each planted bug. The rarest comes about once in five thousand.
	enough = 30000
)

// With all rules no read is stale, whatever comes about.
func TestNoReadIsStale(t *testing.T) {
	var all Counts
	for seed := range uint64(histories) {
		stale, c := Run(seed, steps, None)
		if stale != nil {
			t.Fatal(stale)
		}
		all.add(&c)
	}
	t.Logf("%+v", all)

	v := reflect.ValueOf(all)
	for i := range v.NumField() {
		require.Greater(t, v.Field(i).Int(), int64(histories/4), "%s: everything that the rules speak of comes about", v.Type().Field(i).Name)
	}
}

// add adds the counts of another history.
func (c *Counts) add(o *Counts) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(o).Elem()
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// Each rule is needed: without it some read is stale.
func TestEachRuleIsNeeded(t *testing.T) {
	for bug := None + 1; bug < bugs; bug++ {
		t.Run(bug.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(enough) {
				if stale, _ := Run(seed, steps, bug); stale != nil {
					t.Log(stale)
					return
				}
			}
			t.Fatalf("not noticed in %d histories", enough)
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
	s := Stale{Seed: 1, Step: 2, Process: 3, Key: 4, Read: 5, Seen: 6}
	require.EqualError(t, &s, "seed 1, step 2: process 3 read write 5 of key 4 after write 6 had been seen")

	s.SeenExpired = true
	require.EqualError(t, &s, "seed 1, step 2: process 3 read write 5 of key 4 after write 6, expired, had been seen")

	s.Usurped = true
	require.EqualError(t, &s, "seed 1, step 2: process 3 took the ownership back from a later owner")
}
