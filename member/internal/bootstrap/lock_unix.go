//go:build !windows

package bootstrap

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockDir takes the directory's lock, which ends with the Closer or with the process, and writes the process's ID into it.
func lockDir(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}

	for {
		// Without LOCK_NB a second start would hang in silence. A signal may interrupt the call, which is then repeated.
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}

	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = lockedError(dir, f)
	case err == nil:
		err = writePID(f)
	}

	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return dirLock{f}, nil
}

// dirLock is a locked file.
type dirLock struct{ *os.File }

// Close unlocks the file before it closes it. The lock belongs to the open file. A process that this one is just starting shares that file
// until it runs its own program. Closing alone would leave the directory locked until then.
func (l dirLock) Close() error {
	return errors.Join(unix.Flock(int(l.Fd()), unix.LOCK_UN), l.File.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
