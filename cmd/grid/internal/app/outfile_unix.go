//go:build unix

package app

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// duplicate returns a file of its own for what the process has open under a number: it goes on where that stands.
func duplicate(descriptor int, name string) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(descriptor), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// keepOwner gives f the owner and group of another file as far as that is permitted.
func keepOwner(f *os.File, of fs.FileInfo) {
	was, ok := of.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	// Only root may give files away. Others keep at least the group, where they are in it.
	if f.Chown(int(was.Uid), int(was.Gid)) != nil {
		_ = f.Chown(-1, int(was.Gid)) // a group that the user is in
	}
}
