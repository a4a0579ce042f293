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
// Resolve runs for every message sent and takes no lock: the table is in stripes, each an immutable map behind a pointer, of which a
// change copies one.
type Registry struct {
	stripes [stripes]atomic.Pointer[map[raftio.NodeInfo]string]
	mu      sync.Mutex // serialises writers
}

// stripes is a power of two: the lowest bits of a shard's number are those of its partition.
const stripes = 256

var (
	_ raftio.INodeRegistry       = (*Registry)(nil)
	_ config.NodeRegistryFactory = (*Registry)(nil)
)

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{}
	for i := range r.stripes {
		r.stripes[i].Store(&map[raftio.NodeInfo]string{})
	}
	return r
}

func (r *Registry) stripe(shardID uint64) *atomic.Pointer[map[raftio.NodeInfo]string] {
	return &r.stripes[shardID%stripes]
}

// Create returns the registry itself: it implements config.NodeRegistryFactory. One registry may serve several NodeHosts,
// one after the other or at the same time.
func (r *Registry) Create(string, uint64, config.TargetValidator) (raftio.INodeRegistry, error) {
	return r, nil
}

// Set says that the process with the given NodeHostID runs the replica. An empty target unsets it.
func (r *Registry) Set(shardID, replicaID uint64, target string) {
	key := raftio.NodeInfo{ShardID: shardID, ReplicaID: replicaID}
	at := r.stripe(shardID)
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *at.Load()
	if old[key] == target {
		// When one replica of a partition moves, the others are set again to where they are.
		return
	}

	// Senders read the old map without a lock, so it is never written.
	next := maps.Clone(old)
	if target == "" {
		delete(next, key)
	} else {
		next[key] = target
	}
	at.Store(&next)
}

// Unset forgets the replica.
func (r *Registry) Unset(shardID, replicaID uint64) { r.Set(shardID, replicaID, "") }

// SetAll replaces the whole table, stripe by stripe. Entries with an empty target are left out. The map is copied.
func (r *Registry) SetAll(table map[raftio.NodeInfo]string) {
	var next [stripes]map[raftio.NodeInfo]string
	for i := range next {
		next[i] = make(map[raftio.NodeInfo]string)
	}
	for k, target := range table {
		if target != "" {
			next[k.ShardID%stripes][k] = target
		}
	}

	// The new stripes are made before the lock is taken, and stored one after the other.
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range next {
		r.stripes[i].Store(&next[i])
	}
}

// Len returns how many replicas are known.
func (r *Registry) Len() (n int) {
	for i := range r.stripes {
		n += len(*r.stripes[i].Load())
	}
	return n
}

// Resolve returns the target of the replica, twice: the second is the name of the queue in which dragonboat puts the
// message, so that all messages to one process share one queue, one goroutine and one connection.
func (r *Registry) Resolve(shardID, replicaID uint64) (target, queue string, err error) {
	target, ok := (*r.stripe(shardID).Load())[raftio.NodeInfo{ShardID: shardID, ReplicaID: replicaID}]
	if !ok {
		// The library drops the message, as Raft allows.
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
