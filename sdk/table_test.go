package sdk

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// peersByID is what a client has to resolve owners.
type peersByID map[wire.ID]*peer

func (p peersByID) of(m *wire.MemberInfo) *peer {
	if p[m.ID] == nil {
		p[m.ID] = &peer{id: m.ID}
	}
	return p[m.ID]
}

// Views that come in any order, from members that know more or less, lead to the same table: of each partition the owner
// with the greatest epoch, and the members of the greatest Meta.
func TestTableMergeAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const parts = 4
		members := make([]wire.MemberInfo, 5)
		for i := range members {
			members[i] = wire.MemberInfo{ID: wire.ID{byte(i + 1)}}
		}
		owner := func(epoch uint64, p int) uint16 { return uint16((epoch*7 + uint64(p)*3) % 5) } // an epoch has one owner
		peers := peersByID{}
		tab := &table{}
		type best struct {
			epoch uint64
			owned bool
		}
		naive, meta := make([]best, parts), uint64(0)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "moved") && tab.routes != nil {
				p := rapid.IntRange(0, parts+1).Draw(t, "partition")
				epoch := rapid.Uint64Range(0, 9).Draw(t, "epoch")
				var to *peer
				if epoch > 0 && rapid.Bool().Draw(t, "owned") {
					to = peers.of(&members[owner(epoch, p)])
				}
				before := tab
				next, changed := tab.mergeOwner(p, epoch, to)
				if !changed && next != before {
					t.Fatal("an unchanged table was replaced")
				}
				tab = next
				if p < parts {
					if n := &naive[p]; epoch > n.epoch {
						*n = best{epoch, to != nil}
					} else if epoch == n.epoch && to != nil {
						n.owned = true
					}
				}
				continue
			}
			v := &wire.Table{Meta: rapid.Uint64Range(1, 5).Draw(t, "meta"), Members: members}
			v.Name = string(rune('a' + v.Meta))
			for p := range parts {
				pv := wire.PartitionRoute{Epoch: rapid.Uint64Range(0, 9).Draw(t, "epoch"), Owner: wire.NoOwner, Replicas: []uint16{uint16(v.Meta % 5)}}
				if pv.Epoch > 0 && rapid.Bool().Draw(t, "owned") {
					pv.Owner = owner(pv.Epoch, p)
				}
				v.Partitions = append(v.Partitions, pv)
				if n := &naive[p]; pv.Epoch > n.epoch {
					*n = best{pv.Epoch, pv.Owner != wire.NoOwner}
				} else if pv.Epoch == n.epoch && pv.Owner != wire.NoOwner {
					n.owned = true
				}
			}
			meta = max(meta, v.Meta)
			tab, _ = tab.merge(v, peers.of)
			if again, changed := tab.merge(v, peers.of); changed || len(again.routes) != parts {
				t.Fatal("a view changed the table twice")
			}
		}
		if tab.routes == nil {
			return
		}
		if tab.meta != meta || tab.name != string(rune('a'+meta)) || tab.replicas[0][0] != members[meta%5].ID {
			t.Fatalf("members of view %d, want %d", tab.meta, meta)
		}
		for p, n := range naive {
			r := tab.routes[p]
			if r.epoch != n.epoch || (r.owner != nil) != n.owned {
				t.Fatalf("partition %d: %+v, want %+v", p, r, n)
			}
			if n.owned && r.owner.id != members[owner(n.epoch, p)].ID {
				t.Fatalf("partition %d: the owner is not that of epoch %d", p, n.epoch)
			}
		}
	})
}
