package partition

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// startTestMeta returns a metadata host alone in its cluster.
func startTestMeta(t *testing.T, dir string, member wire.ID) *MetaHost {
	t.Helper()
	tr, err := raftnet.New(raftnet.Config{Plane: wire.PlaneMeta,
		Dial: func(context.Context, string, uint8) (net.Conn, error) { return nil, errors.New("nobody is there") }})
	require.NoError(t, err)
	reg := raftnet.NewRegistry()
	reg.Set(MetaShard(0), 1, member.String())
	m, err := StartMeta(MetaConfig{Dir: dir, Member: member, Cluster: wire.ID{1}, Addr: "member.test:5702", Transport: tr,
		Registry: reg, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	require.NoError(t, m.Run(MetaStart{Replica: 1, Initial: map[uint64]wire.ID{1: member}, Campaign: time.Millisecond}))
	return m
}

// proposeMeta commits a command, as soon as somebody leads.
func proposeMeta(t *testing.T, m *MetaHost, cmd []byte) meta.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		changed := m.Changed()
		if _, leads := m.Leads(); leads {
			res, err := m.Propose(ctx, cmd)
			if err == nil {
				return res
			}
			require.ErrorIs(t, err, errNotReady)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("nobody leads the metadata group")
		}
	}
}

// initCommand makes the metadata a cluster's.
func initCommand(member wire.ID) []byte {
	return meta.Append(nil, &meta.Init{Cluster: wire.ID{1}, Name: "test", Partitions: 8, Replicas: 3, Level: 1,
		InitialVoters: []wire.ID{member}})
}

func TestMetaHost(t *testing.T) {
	member := wire.ID(uuid.New())
	dir := t.TempDir()
	m := startTestMeta(t, dir, member)
	require.False(t, m.View().Bootstrapped())
	res := proposeMeta(t, m, initCommand(member))
	require.True(t, res.OK(), res.Text)
	require.True(t, m.View().Bootstrapped())
	require.NoError(t, m.Barrier(t.Context()))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, m.Barrier(ended))
	require.Error(t, m.AddLearner(ended, 2, wire.ID{2}))
	changed := m.Changed()
	m.Wake()
	<-changed
	m.Close()
	m.Close()
	_, err := m.Propose(t.Context(), nil)
	require.ErrorIs(t, err, errClosed)
	require.ErrorIs(t, m.Barrier(t.Context()), errClosed)
	require.ErrorIs(t, m.AddLearner(t.Context(), 2, wire.ID{2}), errClosed)
	require.ErrorIs(t, m.Run(MetaStart{Replica: 1}), errClosed)
	require.False(t, m.Has(0, 1))

	again := startTestMeta(t, dir, member)
	require.True(t, again.Has(0, 1))
	again.await(t, func(v *meta.View) bool { return v.Bootstrapped() })
}

func (m *MetaHost) await(t *testing.T, ok func(*meta.View) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed := m.Changed()
		if ok(m.View()) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("the metadata never came to that")
		}
	}
}

// renameHost makes a metadata directory look as if it had been written on a host of another name.
func renameHost(t *testing.T, dir, name string) {
	t.Helper()
	hostname, err := os.Hostname()
	require.NoError(t, err)
	path := filepath.Join(dir, "dragonboat.ds")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	var st raftpb.RaftDataStatus
	require.NoError(t, st.Unmarshal(b[8:]))
	require.Equal(t, hostname, st.Hostname)
	require.NoError(t, os.Rename(filepath.Join(dir, hostname), filepath.Join(dir, name)))
	writeFlag(t, dir, name)
}

// writeFlag writes dragonboat's flag file with another hostname, or a new one.
func writeFlag(t *testing.T, dir, name string) {
	t.Helper()
	path := filepath.Join(dir, "dragonboat.ds")
	var st raftpb.RaftDataStatus
	if b, err := os.ReadFile(path); err == nil {
		require.NoError(t, st.Unmarshal(b[8:]))
	}
	st.Hostname = name
	data, err := st.Marshal()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(flagChecksum(data), data...), 0o600))
}

// A member that comes back under another hostname finds its metadata.
func TestMetaHostUnderAnotherHostname(t *testing.T) {
	member := wire.ID(uuid.New())
	dir := t.TempDir()
	m := startTestMeta(t, dir, member)
	proposeMeta(t, m, initCommand(member))
	m.Close()
	renameHost(t, dir, "another-host")
	again := startTestMeta(t, dir, member)
	require.True(t, again.Has(0, 1), "the replica is found")
	again.await(t, func(v *meta.View) bool { return v.Bootstrapped() })
}

func TestAdoptHostname(t *testing.T) {
	has := func(t *testing.T, dir, name string) bool {
		_, err := os.Stat(filepath.Join(dir, name, "data"))
		return err == nil
	}
	with := func(t *testing.T, name string) string {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "data"), 0o700))
		writeFlag(t, dir, name)
		return dir
	}
	flagged := func(t *testing.T, dir string) string {
		b, err := os.ReadFile(filepath.Join(dir, "dragonboat.ds"))
		require.NoError(t, err)
		require.Equal(t, flagChecksum(b[8:]), b[:8])
		var st raftpb.RaftDataStatus
		require.NoError(t, st.Unmarshal(b[8:]))
		return st.Hostname
	}
	t.Run("an empty directory", func(t *testing.T) { require.NoError(t, adoptHostname(t.TempDir(), "new")) })
	t.Run("the same name", func(t *testing.T) {
		dir := with(t, "new")
		require.NoError(t, adoptHostname(dir, "new"))
		require.True(t, has(t, dir, "new"))
	})
	t.Run("another name, there and back", func(t *testing.T) {
		dir := with(t, "old")
		for _, name := range []string{"new", "New", "old"} {
			require.NoError(t, adoptHostname(dir, name))
			require.True(t, has(t, dir, name))
			require.Equal(t, name, flagged(t, dir))
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, entries, 2, "nothing else is left")
		}
	})
	t.Run("after a crash between the steps", func(t *testing.T) {
		dir := with(t, "old")
		require.NoError(t, os.Rename(filepath.Join(dir, "old"), filepath.Join(dir, "new")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dragonboat.ds.new"), []byte("torn"), 0o600))
		require.NoError(t, adoptHostname(dir, "new"))
		require.True(t, has(t, dir, "new"))
		require.Equal(t, "new", flagged(t, dir))
	})
	t.Run("the data is gone", func(t *testing.T) {
		dir := with(t, "old")
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "old")))
		require.ErrorContains(t, adoptHostname(dir, "new"), "damaged", "it would forget its votes")
		require.Equal(t, "old", flagged(t, dir))
	})
	t.Run("both names are there", func(t *testing.T) {
		dir := with(t, "old")
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "new", "data"), 0o700))
		require.Error(t, adoptHostname(dir, "new"), "which is the right one?")
		require.True(t, has(t, dir, "old"))
	})
	t.Run("a damaged flag file", func(t *testing.T) {
		for _, b := range [][]byte{{}, []byte("short"), []byte("no checksum of this")} {
			dir := with(t, "old")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "dragonboat.ds"), b, 0o600))
			require.ErrorContains(t, adoptHostname(dir, "new"), "damaged")
			require.True(t, has(t, dir, "old"))
		}
		dir := with(t, "old")
		junk := []byte{0xff, 0xff, 0xff}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dragonboat.ds"), append(flagChecksum(junk), junk...), 0o600))
		require.ErrorContains(t, adoptHostname(dir, "new"), "damaged")
	})
}
