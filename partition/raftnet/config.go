package raftnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Streams of a connection, as its hello names them.
const (
	StreamMessages uint8 = 0
	StreamChunks   uint8 = 1
)

// Bounds and defaults of Config.
const (
	DefaultQueueBytes    = 64 << 20
	DefaultEmptyInterval = 500 * time.Millisecond
	DefaultDialTimeout   = 5 * time.Second
	DefaultWriteTimeout  = 10 * time.Second
	DefaultStartTimeout  = 2 * time.Second
	DefaultMaxInbound    = 1024

	minQueueBytes = 1 << 20
	maxQueueBytes = 1 << 30
)

// Config is what a Transport needs from its owner. Zero values mean the defaults above.
type Config struct {
	// Plane is wire.PlaneRaft or wire.PlaneMeta. Serve refuses connections of any other.
	Plane wire.Plane

	// Dial connects to the process whose NodeHostID is target and completes TLS and the hello for the given stream. It may
	// block until ctx ends. The connection is the Transport's from then on. Dial is called from several goroutines.
	Dial func(ctx context.Context, target string, stream uint8) (net.Conn, error)

	// Hosts reports whether this process runs the replica and is not about to remove its data. Snapshots for other replicas
	// are refused: dragonboat panics on a snapshot for a replica whose directory does not exist. Nil accepts all. Hosts is
	// called from several goroutines and must not block.
	Hosts func(shardID, replicaID uint64) bool

	// KeepEmpty sends Replicate messages that carry nothing but a commit index as dragonboat emits them, and all heartbeats. Without it, at
	// most one such Replicate per replica and EmptyInterval is sent: cheaper by far, but followers may apply up to a heartbeat later. Of
	// the heartbeats of a group in which nothing happens, one per replica and EmptyInterval is sent. Followers of a busy group hear of commits
	// in each fifth of EmptyInterval, and acknowledgements that move no commit index wait. EmptyInterval must be a third of an election timeout
	// at most.
	KeepEmpty     bool
	EmptyInterval time.Duration

	QueueBytes   int           // bytes that may wait for one peer; a batch beyond is dropped
	DialTimeout  time.Duration // bounds each call of Dial
	WriteTimeout time.Duration // a write, or a state snapshot that comes in, which makes no progress for so long breaks its connection
	StartTimeout time.Duration // bounds how long a connection that came early waits for the NodeHost to start
	MaxInbound   int           // connections served at the same time
}

// WithDefaults returns c with every zero value replaced by its default.
func (c Config) WithDefaults() Config {
	if c.EmptyInterval == 0 {
		c.EmptyInterval = DefaultEmptyInterval
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = DefaultQueueBytes
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = DefaultDialTimeout
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = DefaultStartTimeout
	}
	if c.MaxInbound == 0 {
		c.MaxInbound = DefaultMaxInbound
	}
	return c
}

// Validate returns all that is wrong with c, after WithDefaults.
func (c Config) Validate() error {
	var errs []error
	if c.Plane != wire.PlaneRaft && c.Plane != wire.PlaneMeta {
		errs = append(errs, fmt.Errorf("plane %d, want %d (data) or %d (metadata)", c.Plane, wire.PlaneRaft, wire.PlaneMeta))
	}
	if c.Dial == nil {
		errs = append(errs, errors.New("no Dial"))
	}
	if c.QueueBytes < minQueueBytes || c.QueueBytes > maxQueueBytes {
		errs = append(errs, fmt.Errorf("QueueBytes %d, want %d to %d", c.QueueBytes, minQueueBytes, maxQueueBytes))
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"EmptyInterval", c.EmptyInterval}, {"DialTimeout", c.DialTimeout}, {"WriteTimeout", c.WriteTimeout}, {"StartTimeout", c.StartTimeout}} {
		if d.v < time.Millisecond || d.v > time.Minute {
			errs = append(errs, fmt.Errorf("%s %s, want %s to %s", d.name, d.v, time.Millisecond, time.Minute))
		}
	}
	if c.MaxInbound < 1 {
		errs = append(errs, fmt.Errorf("MaxInbound %d, want at least 1", c.MaxInbound))
	}
	return errors.Join(errs...)
}
