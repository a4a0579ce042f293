//go:build !windows

package bootstrap

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A process that is being started while the lock is held has a copy of the file until it runs its own program. The directory is free without it.
func TestLockEndsWhileAProcessStarts(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := unix.Dup(int(lock.(dirLock).Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(inherited) }()

	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
