package bootstrap

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The files of a data directory that belong to this package.
const (
	lockName   = "member.lock"
	recordName = "member.record"
	tempName   = "member.record.tmp"
)

// Store is the part of a member's data directory that says who the member is: its UUID, how often it was started, and
// its bootstrap Record. All of it stands in one file, which is replaced as a whole. So no crash can separate a promise
// from the identity of the member that gave it. While a Store is open no other can open the directory. Its methods are
// safe for concurrent use.
type Store struct {
	dir  string
	lock io.Closer

	mu struct {
		sync.Mutex
		content content
		failed  error // why nothing can be written any more
	}
}

// content is what the file holds.
type content struct {
	member  wire.ID
	cluster string // name
	starts  uint64
	record  Record
}

// Open takes the directory for a member of the cluster of the given name, making it if it is not there, and counts one
// start: when Open returns, the new count is on disk. A directory that has no record gets a new member UUID; Starts is 1
// then, and a caller that finds older data beside it knows that the record was lost.
//
// Errors: ErrLocked, *OtherClusterError, *CorruptError, wire.ErrTooLarge for a name above MaxText bytes, and what the file
// system says. After an error nothing stays locked.
func Open(dir, clusterName string) (*Store, error) {
	if !validText(clusterName) {
		return nil, fmt.Errorf("cluster name of %d bytes: %w, 1 to %d are possible", len(clusterName), wire.ErrTooLarge, MaxText)
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}

	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}

	s := &Store{dir: dir, lock: lock}
	c, err := s.load(clusterName)
	if err == nil {
		// The count is on disk before anything else happens: an old copy of the directory is known by a count that is behind.
		c.starts++
		err = s.write(c)
	}

	if err != nil {
		// The directory has to be free for another try.
		return nil, errors.Join(err, lock.Close())
	}
	s.mu.content = c
	return s, nil
}

// makeDir makes the directory and what is missing above it, durably.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}

	// A new directory survives a power cut only when the directory above it is synced too.
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func (s *Store) load(clusterName string) (content, error) {
	path := filepath.Join(s.dir, recordName)
	b, err := os.ReadFile(path)
	// Only a missing file makes a new member. A damaged file may hold promises, which a new member would break.
	if errors.Is(err, fs.ErrNotExist) {
		return content{member: newID(), cluster: clusterName}, nil
	}
	if err != nil {
		return content{}, fmt.Errorf("read member record: %w", err)
	}

	c, err := decodeContent(b)
	if err != nil {
		return content{}, &CorruptError{Path: path, Reason: err.Error()}
	}
	// What the directory has promised holds for its own cluster, and means nothing in another.
	if c.cluster != clusterName {
		return content{}, &OtherClusterError{Where: "data directory " + s.dir, Got: c.cluster, Want: clusterName}
	}
	return c, nil
}

// write replaces the file and returns once the new one would survive a power cut. When it fails it is unknown which of the
// two a power cut would leave.
func (s *Store) write(c content) error {
	// The file is replaced as a whole: a write in place could be cut off, and both the old and the new record be lost.
	temp, path := filepath.Join(s.dir, tempName), filepath.Join(s.dir, recordName)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write member record: %w", err)
	}

	// The bytes are on disk before the name leads to them. Otherwise a power cut could leave a name without its content.
	_, err = f.Write(encodeContent(c))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write member record: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("replace member record: %w", err)
	}
	// The rename itself is lost in a power cut unless the directory is synced.
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("make member record durable: %w", err)
	}
	return nil
}

// Dir returns the directory.
func (s *Store) Dir() string { return s.dir }

// ClusterName returns the name of the cluster for which the directory was made.
func (s *Store) ClusterName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.content.cluster
}

// Member returns the member's UUID. Only ResetBootstrap changes it.
func (s *Store) Member() wire.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.content.member
}

// Starts returns how often the directory was opened, this time included. A directory whose count is behind the one that
// the cluster knows is an old copy.
func (s *Store) Starts() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.content.starts
}

// Record returns the bootstrap record. The caller owns it, but for the Proposal, which nobody changes.
func (s *Store) Record() Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.content.record.clone()
}

// Save replaces the bootstrap record; nil means that it would survive a power cut. A record that takes back what the one
// before it promised is refused, with nothing changed. After any other failure the Store writes no more, since nobody
// knows then what is on the disk; it has to be opened again.
func (s *Store) Save(r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.succeeds(s.mu.content.record); err != nil {
		return fmt.Errorf("refuse to save a bootstrap record: %w", err)
	}

	// The identity stays in the same file, so the promise cannot be separated from it.
	next := s.mu.content
	next.record = r.clone()
	return s.replaceLocked(next)
}

// ResetBootstrap makes the member a fresh one, for an operator whose bootstrap waits for a member that is lost for good.
// The member gets a new UUID, as if its directory had been removed. What it accepted was promised under the old UUID,
// and stays promised. So each reset counts as one more member started fresh. ErrHasCluster once the member belongs to a
// cluster. No Runner may be using the Store.
func (s *Store) ResetBootstrap() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := s.mu.content.record.ClusterID; !id.IsZero() {
		return fmt.Errorf("reset bootstrap: %w (%v)", ErrHasCluster, id)
	}
	// The old UUID may be in a proposal that others have accepted. Under a new one this member cannot contradict it.
	next := s.mu.content
	next.member, next.record = newID(), Record{}
	return s.replaceLocked(next)
}

// Reset is ResetBootstrap for a directory that no member uses now; it returns the new UUID. A directory without a record is
// fs.ErrNotExist, and stays as it is. Other errors are those of Open and ResetBootstrap.
func Reset(dir, clusterName string) (wire.ID, error) {
	if _, err := os.Stat(filepath.Join(dir, recordName)); err != nil {
		return wire.ID{}, fmt.Errorf("reset bootstrap: %w", err)
	}

	// Open takes the lock, which proves that no member uses the directory.
	s, err := Open(dir, clusterName)
	if err != nil {
		return wire.ID{}, err
	}
	err = s.ResetBootstrap()
	return s.Member(), errors.Join(err, s.Close())
}

// replaceLocked REQUIRES s.mu.
func (s *Store) replaceLocked(next content) error {
	if s.mu.failed != nil {
		return s.mu.failed
	}
	if err := s.write(next); err != nil {
		// It is unknown which of the two records a restart would find, so no further promise may be made.
		s.mu.failed = err
		return err
	}
	s.mu.content = next
	return nil
}

// Close releases the directory. Nothing is saved afterwards. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil
	}
	lock := s.lock
	s.lock = nil

	// Whoever still has the Store must not write into a directory that another may hold by now.
	s.mu.failed = fmt.Errorf("data directory %s is %w", s.dir, ErrClosed)
	return lock.Close()
}

// newID makes a random UUID (version 4).
func newID() wire.ID {
	var id wire.ID
	_, _ = rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
