package partition

import (
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lni/dragonboat/v4/raftpb"
)

// adoptHostname makes a metadata directory that was written under another hostname usable under this one. Dragonboat keeps
// its files under the hostname, repeats it in a file with a checksum, and refuses a directory with another hostname. Without
// adoptHostname a container that comes back under another name would have lost its place in the cluster.
func adoptHostname(dir, hostname string) error {
	const flagFile = "dragonboat.ds"
	path := filepath.Join(dir, flagFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was written yet
	}
	if err != nil {
		return fmt.Errorf("read the metadata directory: %w", err)
	}

	const checksum = md5.Size / 2
	if len(b) < checksum || string(b[:checksum]) != string(flagChecksum(b[checksum:])) {
		return fmt.Errorf("the metadata directory is damaged: %s", path)
	}

	var st raftpb.RaftDataStatus
	if err := st.Unmarshal(b[checksum:]); err != nil {
		return fmt.Errorf("the metadata directory is damaged: %s: %w", path, err)
	}

	if st.Hostname == hostname {
		return nil
	}

	// The directory is renamed first. After a crash between the two steps, the old name in the file shows that a step is left.
	from, to := filepath.Join(dir, st.Hostname), filepath.Join(dir, hostname)
	if err := os.Rename(from, to); errors.Is(err, fs.ErrNotExist) {
		// A crash may have come between the two steps. If neither directory is there, a new one would have forgotten the old one's votes.
		if _, err := os.Stat(to); err != nil {
			return fmt.Errorf("the metadata directory is damaged: neither %s nor %s is there: %w", from, to, err)
		}
	} else if err != nil {
		return fmt.Errorf("adopt the metadata of host %q: %w", st.Hostname, err)
	}

	// The directory's new name must be on disk before the file tells of it.
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("adopt the metadata directory: %w", err)
	}

	st.Hostname = hostname
	data, err := st.Marshal()
	if err != nil {
		return fmt.Errorf("adopt the metadata directory: %w", err)
	}

	// The file is replaced as a whole: after a crash it has the old name or the new one.
	tmp := path + ".new"
	if err := writeSynced(tmp, append(flagChecksum(data), data...)); err != nil {
		return fmt.Errorf("adopt the metadata directory: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("adopt the metadata directory: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("adopt the metadata directory: %w", err)
	}
	return nil
}

// syncDir makes what was renamed in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// flagChecksum is dragonboat's: the second half of the MD5 sum.
func flagChecksum(b []byte) []byte {
	sum := md5.Sum(b)
	return append([]byte(nil), sum[md5.Size/2:]...)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}

	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}

	// Without this the renamed file could be empty after a crash.
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
