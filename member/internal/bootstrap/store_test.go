package bootstrap

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, "grid")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestStoreKeepsIdentityAndCountsStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	var member wire.ID
	for i := range 5 {
		s := openStore(t, dir)
		if i == 0 {
			member = s.Member()
			require.False(t, member.IsZero())
		}
		require.Equal(t, member, s.Member())
		require.EqualValues(t, i+1, s.Starts())
		require.Equal(t, "grid", s.ClusterName())
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "a second time")
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, recordName): 0o600, filepath.Join(dir, lockName): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), path)
	}
}

func TestStoreIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	_, err := Open(dir, "grid")
	require.ErrorIs(t, err, ErrLocked)
	require.EqualError(t, err, fmt.Sprintf("data directory %s is held by a running member (process %d)", dir, os.Getpid()))

	require.NoError(t, os.WriteFile(filepath.Join(dir, lockName), nil, 0o600))
	_, err = Open(dir, "grid")
	require.EqualError(t, err, fmt.Sprintf("data directory %s is held by a running member", dir))

	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Save(Record{}), ErrClosed)
	again := openStore(t, dir)
	require.EqualValues(t, 2, again.Starts(), "those that found it locked are no starts")
}

func TestStoreOfAnotherCluster(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, openStore(t, dir).Close())
	_, err := Open(dir, "other")
	require.ErrorIs(t, err, ErrOtherCluster)
	var other *OtherClusterError
	require.ErrorAs(t, err, &other)
	require.Equal(t, "grid", other.Got)
	require.ErrorContains(t, err, dir)
	require.EqualValues(t, 2, openStore(t, dir).Starts(), "it is neither locked nor counted")
}

func TestStoreNames(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", MaxText+1)} {
		_, err := Open(t.TempDir(), name)
		require.ErrorIs(t, err, wire.ErrTooLarge)
	}
}

func TestDamagedRecordIsNeverFresh(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func([]byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"cut", func(b []byte) []byte { return b[:len(b)-3] }},
		{"a bit", func(b []byte) []byte { b[len(b)/2] ^= 4; return b }},
		{"edited", func(b []byte) []byte { return []byte(strings.Replace(string(b), `"starts": 1`, `"starts": 2`, 1)) }},
		{"longer", func(b []byte) []byte { return append(b, "{}"...) }},
		{"another program's", func([]byte) []byte { return []byte("{}\n{}") }},
		{"newer", func(b []byte) []byte { return []byte(strings.Replace(string(b), "record 1", "record 2", 1)) }},
		{"header only", func(b []byte) []byte { return b[:strings.IndexByte(string(b), '\n')+1] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, openStore(t, dir).Close())
			path := filepath.Join(dir, recordName)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			spoiled := c.spoil(b)
			require.NoError(t, os.WriteFile(path, spoiled, 0o600))
			for range 2 { // the first attempt neither changes nor locks anything
				_, err = Open(dir, "grid")
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorContains(t, err, path)
			}
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(spoiled), string(after))
		})
	}
}

func TestInterruptedSaveLeavesTheOldRecord(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	member := s.Member()
	require.NoError(t, s.Save(Record{Refused: []wire.ID{{1}}}))
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, tempName), []byte("half a rec"), 0o600))
	s = openStore(t, dir)
	require.Equal(t, member, s.Member())
	require.Equal(t, []wire.ID{{1}}, s.Record().Refused)
}

func TestSaveFailureStopsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	temp := filepath.Join(dir, tempName)
	require.NoError(t, os.Mkdir(temp, 0o700)) // in the way
	err := s.Save(Record{Refused: []wire.ID{{1}}})
	require.Error(t, err)
	require.NoError(t, os.Remove(temp))
	require.Equal(t, err, s.Save(Record{Refused: []wire.ID{{1}}}), "nobody knows what is on the disk")
	require.Empty(t, s.Record().Refused)
	require.NoError(t, s.Close())
	require.NoError(t, openStore(t, dir).Save(Record{Refused: []wire.ID{{1}}}))
}

func TestSaveRefusesToTakeBackAPromise(t *testing.T) {
	f, g := proposalOf(1, 6, 7), proposalOf(2, 6, 7)
	changed := proposalOf(1, 6, 8)
	old := Record{Accepted: f, Refused: []wire.ID{{9}}}
	member := Record{Accepted: f, Refused: []wire.ID{{9}}, ClusterID: f.ClusterID}
	for _, c := range []struct {
		name     string
		old, new Record
		ok       bool
	}{
		{"decide", old, member, true},
		{"join another", old, Record{Accepted: f, Refused: []wire.ID{{9}}, ClusterID: wire.ID{8}}, true},
		{"dead", old, Record{Refused: []wire.ID{{9}, f.ClusterID}}, true},
		{"dead, and accept another", old, Record{Accepted: g, Refused: []wire.ID{{9}, f.ClusterID}}, true},
		{"forget what was accepted", old, Record{Refused: []wire.ID{{9}}}, false},
		{"accept another instead", old, Record{Accepted: g, Refused: []wire.ID{{9}}}, false},
		{"accept another version", old, Record{Accepted: changed, Refused: []wire.ID{{9}}}, false},
		{"forget what was refused", old, Record{Accepted: f}, false},
		{"accept what was refused", old, Record{Accepted: proposalOf(9, 6), Refused: []wire.ID{{9}, f.ClusterID}}, false},
		{"bootstrap what was refused", old, Record{Accepted: f, Refused: []wire.ID{{9}}, ClusterID: wire.ID{9}}, false},
		{"leave the cluster", member, old, false},
		{"change the cluster", member, Record{Accepted: f, Refused: []wire.ID{{9}}, ClusterID: wire.ID{8}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			require.NoError(t, s.Save(c.old))
			err := s.Save(c.new)
			if c.ok {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Equal(t, c.old, s.Record())
			require.NoError(t, s.Save(c.old), "the store goes on")
		})
	}
}

func TestResetBootstrap(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	before := s.Member()
	require.NoError(t, s.Save(Record{Accepted: proposalOf(1, 6, 7), Refused: []wire.ID{{9}}}))
	require.NoError(t, s.ResetBootstrap())
	require.Equal(t, Record{}, s.Record())
	require.NotEqual(t, before, s.Member(), "what the old identity promised stays promised")
	after := s.Member()
	require.NoError(t, s.Close())

	s = openStore(t, dir)
	require.Equal(t, after, s.Member())
	require.EqualValues(t, 2, s.Starts())
	require.NoError(t, s.Save(Record{ClusterID: wire.ID{8}}))
	require.ErrorIs(t, s.ResetBootstrap(), ErrHasCluster)
	require.Equal(t, wire.ID{8}, s.Record().ClusterID)
	require.Equal(t, after, s.Member())
}

func TestReset(t *testing.T) {
	dir := t.TempDir()
	_, err := Reset(dir, "grid")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoFileExists(t, filepath.Join(dir, recordName))

	s := openStore(t, dir)
	before, name := s.Member(), s.ClusterName()
	_, err = Reset(dir, name)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, s.Close())
	_, err = Reset(dir, name+"x")
	require.ErrorIs(t, err, ErrOtherCluster)
	after, err := Reset(dir, name)
	require.NoError(t, err)
	require.NotEqual(t, before, after)

	s = openStore(t, dir)
	require.Equal(t, after, s.Member())
	require.NoError(t, s.Save(Record{ClusterID: wire.ID{8}}))
	require.NoError(t, s.Close())
	_, err = Reset(dir, name)
	require.ErrorIs(t, err, ErrHasCluster)
}

func drawRecord(t *rapid.T) Record {
	var r Record
	if rapid.Bool().Draw(t, "accepted") {
		f := proposalOf(byte(rapid.IntRange(1, 9).Draw(t, "proposal")), 6, 7)
		f.Participants[1].Addr = "host " + rapid.StringN(0, -1, MaxText-5).Draw(t, "addr")
		r.Accepted = f
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "refused") {
		r.Refused = append(r.Refused, wire.ID{0xaa, byte(i)})
	}
	if rapid.Bool().Draw(t, "cluster") {
		r.ClusterID = drawID(t, "id")
	}
	r.Addrs = boundAddrs(rapid.SliceOfN(rapid.StringN(1, -1, MaxText), 0, 4).Draw(t, "addrs"))
	return r
}

// TestRecordFileComesBackAsItWas, and no single changed byte goes unnoticed.
func TestRecordFileComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := content{member: drawID(t, "member"), cluster: rapid.StringN(1, -1, MaxText).Draw(t, "name"),
			starts: rapid.Uint64Min(1).Draw(t, "starts"), record: drawRecord(t)}
		b := encodeContent(c)
		got, err := decodeContent(b)
		require.NoError(t, err)
		require.Equal(t, c, got)

		i := rapid.IntRange(0, len(b)-1).Draw(t, "byte")
		b[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		_, err = decodeContent(b)
		require.Error(t, err, "byte %d", i)
	})
}

// sealed puts a header with the right checksum before a body.
func sealed(body []byte) []byte {
	return append(fmt.Appendf(nil, recordHeader, recordVersion, crc32.Checksum(body, castagnoli)), body...)
}

// FuzzDecodeRecord decodes bodies whose checksum is right.
func FuzzDecodeRecord(f *testing.F) {
	_, body, _ := bytes.Cut([]byte(goldenRecord), []byte("\n"))
	f.Add(body)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := decodeContent(sealed(body))
		if err != nil {
			return
		}
		again, err := decodeContent(encodeContent(c))
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

// goldenRecord is a file of format 1. Files like it are on disks: later formats have to read it.
const goldenRecord = `gridiron member record 1 crc32c e822b923
{
  "member": "05000000-0000-0000-0000-000000000000",
  "cluster": "grid",
  "starts": 7,
  "accepted": {
    "cluster_id": "01000000-0000-0000-0000-000000000000",
    "seats": [
      {
        "member": "05000000-0000-0000-0000-000000000000",
        "addr": "self:1",
        "peers_addr": "self:2",
        "replica_id": 1
      },
      {
        "member": "06000000-0000-0000-0000-000000000000",
        "addr": "m6:1",
        "peers_addr": "m6:2",
        "replica_id": 2
      }
    ]
  },
  "refused": [
    "09000000-0000-0000-0000-000000000000"
  ],
  "cluster_id": "01000000-0000-0000-0000-000000000000",
  "addrs": [
    "self:1",
    "m6:1"
  ]
}
`

func TestRecordFormat(t *testing.T) {
	c := content{member: wire.ID{5}, cluster: "grid", starts: 7, record: Record{Accepted: proposalOf(1, 6),
		Refused: []wire.ID{{9}}, ClusterID: wire.ID{1}, Addrs: []string{"self:1", "m6:1"}}}
	require.Equal(t, goldenRecord, string(encodeContent(c)))
	got, err := decodeContent([]byte(goldenRecord))
	require.NoError(t, err)
	require.Equal(t, c, got)
}

func TestOpenReportsAFileInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := Open(path, "grid")
	require.Error(t, err)
	require.False(t, errors.Is(err, ErrLocked))
}
