package bootstrap

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// lockOffset is where the locked byte lies: behind the process ID, which others may read meanwhile.
const lockOffset = 1 << 20

// lockDir takes the directory's lock, which ends with the Closer or with the process, and writes the process's ID into it.
func lockDir(dir string) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}

	// Without LOCKFILE_FAIL_IMMEDIATELY a second start would hang in silence.
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	switch {
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		err = lockedError(dir, f)
	case err == nil:
		err = writePID(f)
	}

	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// syncDir does nothing: NTFS logs changes of names itself, and directories cannot be flushed.
func syncDir(string) error { return nil }
