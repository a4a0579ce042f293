package bootstrap

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// lockedError says which process holds the lock file f, if the file tells.
func lockedError(dir string, f *os.File) error {
	b, _ := io.ReadAll(io.LimitReader(f, 32)) // without a process ID the error is as true
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return fmt.Errorf("data directory %s %w", dir, ErrLocked)
	}
	return fmt.Errorf("data directory %s %w (process %d)", dir, ErrLocked, pid)
}

// writePID leaves this process's ID in the lock file, for those who find it locked.
func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}
