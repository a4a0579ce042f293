package partition

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A history with an owner that is cut off while it has a lease is linearizable. It is not where the new owner does not wait, and the check
// notices: so the wait is needed, and tested.
func TestCutOffOwnerAndTheLeaseWait(t *testing.T) {
	t.Run("waits", func(t *testing.T) {
		history, stale := cutOffOwner(t, newBootstrappedCluster(t, 3, 1))
		require.False(t, stale)
		require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(registerModel, history, time.Minute))
	})

	t.Run("does not wait", func(t *testing.T) {
		// On a busy machine the election may take longer than the lease.
		for range 20 {
			c := newBootstrappedCluster(t, 3, 1)
			c.ownsSecretly(0)
			if history, stale := cutOffOwner(t, c); stale {
				require.Equal(t, porcupine.Illegal, porcupine.CheckOperationsTimeout(registerModel, history, time.Minute))
				return
			}
		}
		t.Fatal("no election was over before the lease")
	})
}

// ownsSecretly has a host own partition 0 under a lease of which its Own says nothing: nobody will wait for it.
func (c *testCluster) ownsSecretly(host int) {
	c.tb.Helper()
	h := c.hosts[host]
	r := h.replicas[0].Load()
	before := h.Serving(0)

	r.part.Lock() // every Own is proposed after a step under the lock
	r.raft = func(cmd []byte) (ticket, error) {
		if o, err := entry.DecodeOwn(cmd); err == nil {
			o.LeaseMs = 0
			cmd = entry.AppendOwn(nil, &o)
		}
		return r.propose(cmd)
	}
	r.part.Unlock()

	_, err := r.propose(entry.AppendRelease(nil, &entry.Release{Epoch: before}))
	require.NoError(c.tb, err)
	c.await("the host owns the partition again", func() bool { now := h.Serving(0); return now != 0 && now != before })
}

// cutOffOwner has the owner of partition 0 write, cuts it off, has another host own the partition and write, and then the first read. It
// returns the history, and whether the read has missed the write.
func cutOffOwner(t *testing.T, c *testCluster) (history []porcupine.Operation, stale bool) {
	t.Helper()
	a, b := c.hosts[0], c.hosts[1]
	begin := time.Now()
	now := func() int64 { return int64(time.Since(begin)) }
	write := func(client int, h *testHost, old, value uint64) {
		called := now()
		require.Equal(t, Applied, h.write(0, 1, value).what)
		history = append(history, porcupine.Operation{ClientId: client, Input: registerCall{key: 1, kind: wire.OpSet, new: value}, Call: called,
			Output: registerAnswer{value: old}, Return: now()})
	}

	write(0, a, 0, 1)
	a.mute.Store(true)
	defer a.mute.Store(false)
	c.elect(0, 1)
	write(1, b, 1, 2)

	rd := &pendingRead{key: 1, ch: make(chan Outcome, 2)}
	called := now()
	if !a.TryRead(0, rd, a.Moment()) {
		return history, false
	}
	history = append(history, porcupine.Operation{ClientId: 2, Input: registerCall{key: 1, kind: wire.OpGet}, Call: called,
		Output: registerAnswer{value: rd.value}, Return: now()})
	return history, rd.value == 1
}
