package meta

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func candidate(i int) Candidate {
	return Candidate{ID: wire.ID{byte(i + 1)}, Incarnation: wire.ID{byte(i + 1), 1}}
}

// tableOf returns a table in which the plan for some members is carried out.
func tableOf(partitions, replicas int, members []Candidate) []Partition {
	table := make([]Partition, partitions)
	for p, holders := range Plan(partitions, replicas, members) {
		table[p] = Partition{Generation: 1, InitialReplicas: len(holders), Preferred: holders[0].Member}
		for i, h := range holders {
			table[p].Replicas = append(table[p].Replicas, Replica{ID: uint64(p*10 + i + 1), Holder: h})
		}
	}
	return table
}

// newBytes returns what a plan gives to each member.
func newBytes(plan []Target, sizes []int64) map[wire.ID]int64 {
	sums := make(map[wire.ID]int64)
	for p, t := range plan {
		for _, h := range t.Holders[t.Kept:] {
			sums[h.Member] += sizes[p]
		}
	}
	return sums
}

// One of four members is lost whose replicas take as much again as the others have left: what fits is placed, the rest is not, and is
// counted. Nothing that is there is given up. With room for all of it all of it is placed.
func TestLostMemberWhoseReplicasDoNotFit(t *testing.T) {
	members := []Candidate{candidate(0), candidate(1), candidate(2), candidate(3)}
	const partitions, size = 60, 100
	table, sizes := tableOf(partitions, 3, members), make([]int64, partitions)
	for p := range sizes {
		sizes[p] = size
	}
	lost := 0
	for p := range table {
		if _, ok := table[p].Replica(members[3].ID); ok {
			lost++
		}
	}
	left := slices.Clone(members[:3])
	for i := range left {
		left[i].Bounded, left[i].Room = true, 7*size+size/2
	}
	plan := ReplanWithin(table, 3, left, sizes)
	missing := 0
	for p, target := range plan {
		missing += target.NoRoom
		require.Equal(t, 3, len(target.Holders)+target.NoRoom)
		for _, r := range table[p].Replicas {
			require.Equal(t, r.Member != members[3].ID, slices.Contains(target.Holders, r.Holder), "what is there stays")
		}
	}
	require.Equal(t, lost-3*7, missing)
	for member, bytes := range newBytes(plan, sizes) {
		require.EqualValues(t, 7*size, bytes, "member %v", member)
	}

	left[1].Bounded = false
	for i := range left {
		left[i].Room = 0
	}
	placed := newBytes(ReplanWithin(table, 3, left, sizes), sizes)
	require.Len(t, placed, 1)
	require.Positive(t, placed[left[1].ID], "the one that is not bounded takes what it can hold")
	for i := range left {
		left[i].Bounded, left[i].Room = true, partitions*size
	}
	require.Equal(t, Replan(table, 3, members[:3]), unbounded(ReplanWithin(table, 3, left, sizes)))
}

// unbounded is there to compare plans: it fails where a plan leaves anything out.
func unbounded(plan []Target) []Target {
	for _, target := range plan {
		if target.NoRoom != 0 {
			return nil
		}
	}
	return plan
}

// One small member among large ones gets what it has room for, and the others its share.
func TestSmallMemberAmongLargeOnes(t *testing.T) {
	members := []Candidate{candidate(0), candidate(1), candidate(2), candidate(3), candidate(4)}
	members[2].Bounded, members[2].Room = true, 1000
	sizes := make([]int64, 50)
	for p := range sizes {
		sizes[p] = 300
	}
	counts := make(map[wire.ID]int)
	for _, target := range ReplanWithin(make([]Partition, 50), 3, members, sizes) {
		require.Zero(t, target.NoRoom)
		for _, h := range target.Holders {
			counts[h.Member]++
		}
	}
	require.Equal(t, 3, counts[members[2].ID])
	for i, m := range members {
		if i != 2 {
			require.InDelta(t, 147.0/4, counts[m.ID], 3)
		}
	}
}

// Whatever the members, their room, the sizes, and the table: nobody is given more than fits. Every partition keeps what it
// has, and lacks a replica only if nobody has room for it. Where everybody has room the plan is the one without bounds.
func TestPlansWithinRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, partitions := rapid.IntRange(1, 7).Draw(t, "members"), rapid.IntRange(1, 30).Draw(t, "partitions")
		replicas := rapid.IntRange(1, 4).Draw(t, "replicas")
		zones := rapid.IntRange(1, 3).Draw(t, "zones")
		var all, members []Candidate
		for i := range n {
			c := candidate(i)
			c.Zone = string(rune('a' + rapid.IntRange(0, zones-1).Draw(t, "zone")))
			all = append(all, c)
			if rapid.IntRange(0, 3).Draw(t, "stays") > 0 || i == 0 {
				if c.Bounded = rapid.Bool().Draw(t, "bounded"); c.Bounded {
					c.Room = rapid.Int64Range(-100, 2000).Draw(t, "room")
				}
				members = append(members, c)
			}
		}
		table := tableOf(partitions, rapid.IntRange(1, replicas).Draw(t, "replicas before"), all)
		sizes := make([]int64, partitions)
		for p := range sizes {
			sizes[p] = rapid.Int64Range(0, 400).Draw(t, "size")
		}
		plan := ReplanWithin(table, replicas, members, sizes)
		rooms := make(map[wire.ID]int64)
		for _, c := range members {
			if c.Bounded {
				rooms[c.ID] = max(0, c.Room)
			} else {
				rooms[c.ID] = 1 << 60
			}
		}
		for member, bytes := range newBytes(plan, sizes) {
			// One that has no live replica anywhere, and no room, still has somebody who should own it.
			forced := int64(0)
			for p, target := range plan {
				if target.Live == 0 && len(target.Holders) == 1 && target.Holders[0].Member == member {
					forced += sizes[p]
				}
			}
			if bytes-forced > rooms[member] {
				t.Fatalf("member %v is given %d bytes and has room for %d", member, bytes, rooms[member])
			}
			rooms[member] -= bytes
		}
		want := min(replicas, len(members))
		for p, target := range plan {
			if target.Live > 0 && len(target.Holders) < min(want, target.Live) || len(target.Holders)+target.NoRoom != want {
				t.Fatalf("partition %d: %d live, %+v of %d", p, target.Live, target, want)
			}
			if !slices.ContainsFunc(target.Holders, func(h Holder) bool { return h.Member == target.Preferred }) {
				t.Fatalf("partition %d is preferred at %v: %+v", p, target.Preferred, target)
			}
			for _, c := range members {
				holds := slices.ContainsFunc(target.Holders, func(h Holder) bool { return h.Member == c.ID })
				if target.NoRoom > 0 && target.Live > 0 && !holds && rooms[c.ID] >= sizes[p] {
					t.Fatalf("partition %d of %d bytes lacks %d replicas, and member %v has room for %d", p, sizes[p], target.NoRoom, c.ID, rooms[c.ID])
				}
			}
		}
		for i := range members {
			members[i].Bounded, members[i].Room = true, 1<<40
		}
		free := slices.Clone(members)
		for i := range free {
			free[i].Bounded = false
		}
		if got, want := ReplanWithin(table, replicas, members, sizes), Replan(table, replicas, free); !slices.EqualFunc(got, want, func(a, b Target) bool {
			return slices.Equal(a.Holders, b.Holders) && a.Preferred == b.Preferred && a.NoRoom == 0
		}) {
			t.Fatalf("with room for all the plan is another: %+v, not %+v", got, want)
		}
	})
}
