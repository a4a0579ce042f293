package raftnet

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
)

// ErrUnknownReplica is what Resolve returns for a replica that the metadata has not named.
var ErrUnknownReplica = errors.New("raftnet: no target known for the replica")

// Registry says which process runs a replica. It is a NodeHost's registry and its own factory; it has to exist before the
// NodeHost and is fed by its owner, from the metadata, through Set, SetAll and Unset.
//
// What the NodeHost itself tells it is ignored. Add is called with the claims of received messages and with addresses out of
// old log entries, neither of which may redirect a replica's messages. Remove and RemoveShard are called when a replica
// applies a configuration change, its own removal included: earlier than the metadata has moved on, while the removed
// replica still has to be told; so they are left to the metadata too.
//
// Resolve runs for every message sent and takes no lock: the table is an immutable map behind a pointer. A change of one
// replica copies the table, so that whoever has many changes uses SetAll.
type Registry struct {
	table atomic.Pointer[map[raftio.NodeInfo]string]
	mu    sync.Mutex // serialises writers
}

var (
	_ raftio.INodeRegistry       = (*Registry)(nil)
	_ config.NodeRegistryFactory = (*Registry)(nil)
)

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{}
	r.table.Store(&map[raftio.NodeInfo]string{})
	return r
}

// Create returns the registry itself: it implements config.NodeRegistryFactory. One registry may serve several NodeHosts,
// one after the other or at the same time.
func (r *Registry) Create(string, uint64, config.TargetValidator) (raftio.INodeRegistry, error) {
	return r, nil
}

// Set says that the process with the given NodeHostID runs the replica. An empty target unsets it.
func (r *Registry) Set(shardID, replicaID uint64, target string) {
	key := raftio.NodeInfo{ShardID: shardID, ReplicaID: replicaID}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.table.Load()
	if old[key] == target {
		return
	}
	next := maps.Clone(old)
	if target == "" {
		delete(next, key)
	} else {
		next[key] = target
	}
	r.table.Store(&next)
}

// Unset forgets the replica.
func (r *Registry) Unset(shardID, replicaID uint64) { r.Set(shardID, replicaID, "") }

// SetAll replaces the whole table at once. Entries with an empty target are left out. The map is copied.
func (r *Registry) SetAll(table map[raftio.NodeInfo]string) {
	next := make(map[raftio.NodeInfo]string, len(table))
	for k, target := range table {
		if target != "" {
			next[k] = target
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.table.Store(&next)
}

// Len returns how many replicas are known.
func (r *Registry) Len() int { return len(*r.table.Load()) }

// Resolve returns the target of the replica, twice: the second is the name of the queue in which dragonboat puts the
// message, so that all messages to one process share one queue, one goroutine and one connection.
func (r *Registry) Resolve(shardID, replicaID uint64) (target, queue string, err error) {
	target, ok := (*r.table.Load())[raftio.NodeInfo{ShardID: shardID, ReplicaID: replicaID}]
	if !ok {
		return "", "", ErrUnknownReplica
	}
	return target, target, nil
}

// Add does nothing; see Registry.
func (r *Registry) Add(uint64, uint64, string) {}

// Remove does nothing; see Registry.
func (r *Registry) Remove(uint64, uint64) {}

// RemoveShard does nothing; see Registry.
func (r *Registry) RemoveShard(uint64) {}

// Close does nothing: the registry outlives its NodeHost and holds no resources.
func (r *Registry) Close() error { return nil }
