package raftgroup

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/stretchr/testify/require"
)

// Shut waits for the calls that are under way, and no call begins after it.
func TestShutWaitsForCalls(t *testing.T) {
	h := New(t.Context())
	_, err := h.Enter()
	require.NoError(t, err)

	shut := make(chan struct{})
	go func() { // ends when the call has ended
		defer close(shut)
		h.Shut()
	}()
	for h.gate.TryRLock() { // which fails once Shut waits
		h.gate.RUnlock()
		runtime.Gosched()
	}
	select {
	case <-shut:
		t.Fatal("the host was shut under a call")
	default:
	}

	h.Leave()
	<-shut
	_, err = h.Enter()
	require.ErrorIs(t, err, ErrClosed)
}

// Every call of a group that is made after the host was closed says so.
func TestClosedHost(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	h := New(ctx)
	end()
	h.Close(slog.New(slog.DiscardHandler))
	h.Close(slog.New(slog.DiscardHandler))

	g := h.Group(1, "partition 1")
	for name, call := range map[string]func() error{
		"members":     func() error { _, err := g.Members(t.Context()); return err },
		"membership":  func() error { _, err := g.Membership(t.Context()); return err },
		"add learner": func() error { return g.AddLearner(t.Context(), 2, "b") },
		"promote":     func() error { return g.Promote(t.Context(), 2, "b") },
		"remove":      func() error { return g.Remove(t.Context(), 2, 0, new(limits)) },
		"stop":        func() error { return g.StopReplica(1) },
		"remove data": func() error { return g.RemoveData(t.Context(), 1) },
	} {
		require.ErrorIs(t, call(), ErrClosed, name)
	}
}

// limits are what a group asked to be kept from a replica.
type limits []time.Time

func (l *limits) LimitCommit(_, _, _ uint64, until time.Time) { *l = append(*l, until) }

// A replica that is to be removed is kept from what is committed. Where nothing was asked of the group, it hears everything again at once.
func TestReplicaThatStaysHearsEverything(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	h := New(ctx)
	end()
	h.Close(slog.New(slog.DiscardHandler))

	var l limits
	require.Error(t, h.Group(1, "partition 1").Remove(t.Context(), 2, 5, &l))
	require.Len(t, l, 2)
	require.True(t, l[0].After(time.Now()), "it is kept from what is committed")
	require.True(t, l[1].Before(time.Now()), "until it is known that it stays")
}

// A change that the library has refused is not made. One without an answer may be made yet.
func TestRefused(t *testing.T) {
	for _, err := range []error{dragonboat.ErrRejected, dragonboat.ErrShardNotReady, dragonboat.ErrSystemBusy, dragonboat.ErrShardNotFound} {
		require.True(t, refused(fmt.Errorf("remove: %w", err)), err)
	}
	for _, err := range []error{dragonboat.ErrTimeout, dragonboat.ErrCanceled, dragonboat.ErrAborted, dragonboat.ErrShardClosed, context.DeadlineExceeded} {
		require.False(t, refused(fmt.Errorf("remove: %w", err)), err)
	}
}

// What the library does not accept is an error, whether it returns one or panics.
func TestStartRefuses(t *testing.T) {
	h := New(t.Context())
	require.Error(t, h.Start(config.NodeHostConfig{}))
	h.Close(slog.New(slog.DiscardHandler))
}
