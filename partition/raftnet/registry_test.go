package raftnet

import (
	"fmt"
	"sync"
	"testing"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRegistryAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewRegistry()
		model := map[raftio.NodeInfo]string{}
		key := rapid.Custom(func(t *rapid.T) raftio.NodeInfo {
			return raftio.NodeInfo{ShardID: rapid.Uint64Range(1, 3).Draw(t, "shard"), ReplicaID: rapid.Uint64Range(1, 3).Draw(t, "replica")}
		})
		target := rapid.SampledFrom([]string{"", "a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), target.Draw(t, "target")
				r.Set(k.ShardID, k.ReplicaID, v)
				model[k] = v
			},
			"unset": func(t *rapid.T) {
				k := key.Draw(t, "key")
				r.Unset(k.ShardID, k.ReplicaID)
				delete(model, k)
			},
			"set all": func(t *rapid.T) {
				all := rapid.MapOfN(key, target, 0, 5).Draw(t, "all")
				r.SetAll(all)
				model = map[raftio.NodeInfo]string{}
				for k, v := range all {
					model[k] = v
				}
				clear(all) // the registry keeps nothing of it
			},
			"what the node host says": func(t *rapid.T) {
				k := key.Draw(t, "key")
				r.Add(k.ShardID, k.ReplicaID, "claimed")
				r.Remove(k.ShardID, k.ReplicaID)
				r.RemoveShard(k.ShardID)
			},
			"": func(t *rapid.T) {
				known := 0
				for shard := uint64(0); shard < 4; shard++ {
					for replica := uint64(0); replica < 4; replica++ {
						got, queue, err := r.Resolve(shard, replica)
						want := model[raftio.NodeInfo{ShardID: shard, ReplicaID: replica}]
						if want == "" {
							require.ErrorIs(t, err, ErrUnknownReplica)
							require.Empty(t, got)
							continue
						}
						known++
						require.NoError(t, err)
						require.Equal(t, want, got)
						require.Equal(t, want, queue)
					}
				}
				require.Equal(t, known, r.Len())
			},
		})
	})
}

// Readers go on while the table changes, and see whole tables.
func TestRegistryConcurrent(t *testing.T) {
	r := NewRegistry()
	tables := make([]map[raftio.NodeInfo]string, 2)
	for i := range tables {
		tables[i] = map[raftio.NodeInfo]string{{ShardID: 1, ReplicaID: 1}: fmt.Sprint(i)}
	}
	r.SetAll(tables[0])
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if target, _, err := r.Resolve(1, 1); err != nil || target != "0" && target != "1" {
					t.Errorf("resolved %q, %v", target, err)
					return
				}
			}
		})
	}
	for i := range 2 {
		writers.Go(func() {
			for n := range 500 {
				r.SetAll(tables[n%2])
				r.Set(uint64(100+i), 1, "x")
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestRegistryServesANodeHost(t *testing.T) {
	r := NewRegistry()
	r.Set(1, 2, "a")
	made, err := r.Create("id", 1, nil)
	require.NoError(t, err)
	require.NoError(t, made.Close())
	target, _, err := r.Resolve(1, 2)
	require.NoError(t, err, "what the metadata said outlives a NodeHost")
	require.Equal(t, "a", target)
}
