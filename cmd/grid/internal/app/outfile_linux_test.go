package app

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// writeTo writes a text to what name stands for.
func writeTo(t *testing.T, name, text string) {
	t.Helper()
	o, err := createFile(t.Context(), name)
	require.NoError(t, err)
	_, err = io.WriteString(o, text)
	require.NoError(t, err)
	require.NoError(t, o.complete())
}

// contents returns what is in a file.
func contents(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// names returns what is in a folder.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range found {
		list = append(list, f.Name())
	}
	return list
}

func modeOf(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(name)
	require.NoError(t, err)
	return info.Mode()
}

// A file is replaced when the new one is complete, and keeps its mode and owner; until then, and if that never comes, the old one
// is whole and alone.
func TestOutFileReplaces(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	for _, mode := range []fs.FileMode{0o644, 0o600, 0o640, 0o666, 0o755, 0o604, 0o200, fs.ModeSetgid | 0o660} {
		require.NoError(t, os.WriteFile(name, []byte("old"), 0o600))
		if os.Getuid() == 0 {
			require.NoError(t, os.Chown(name, 4711, 4712))
		}
		require.NoError(t, os.Chmod(name, mode))

		o, err := createFile(t.Context(), name)
		require.NoError(t, err)
		_, err = io.WriteString(o, "half of")
		require.NoError(t, err)
		require.Equal(t, mode, modeOf(t, name))
		if mode&0o400 != 0 {
			require.Equal(t, "old", contents(t, name))
		}
		o.abandon()
		require.Equal(t, []string{"out"}, names(t, filepath.Dir(name)))

		writeTo(t, name, "new")
		require.Equal(t, mode, modeOf(t, name))
		require.Equal(t, []string{"out"}, names(t, filepath.Dir(name)))
		if os.Getuid() == 0 {
			require.Equal(t, "new", contents(t, name))
			info, err := os.Stat(name)
			require.NoError(t, err)
			owner := info.Sys().(*syscall.Stat_t)
			require.Equal(t, []uint32{4711, 4712}, []uint32{owner.Uid, owner.Gid})
		}
		require.NoError(t, os.Chmod(name, 0o600))
	}
}

// A new file has the mode that every new file has.
func TestOutFileUnderUmask(t *testing.T) {
	was := syscall.Umask(0o027)
	defer syscall.Umask(was)
	name := filepath.Join(t.TempDir(), "out")
	writeTo(t, name, "new")
	require.Equal(t, fs.FileMode(0o640), modeOf(t, name))
	require.Equal(t, "new", contents(t, name))
}

// Links stay, and what they lead to is replaced or made where it is.
func TestOutFileFollowsLinks(t *testing.T) {
	for _, there := range []bool{true, false} {
		root := t.TempDir()
		for _, dir := range []string{"data/deep", "links"} {
			require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		}
		link := func(to, name string) {
			require.NoError(t, os.Symlink(to, filepath.Join(root, name)))
		}
		file := filepath.Join(root, "data", "out")
		link(file, "absolute")
		link("data/out", "relative")
		link("../relative", "links/chain")
		link("../links/chain", "links/chains")
		link("data/deep", "deep")     // a folder
		link("deep/../out", "beside") // of what deep leads to, not of what it lies in
		for _, name := range []string{"absolute", "relative", "links/chain", "links/chains", "beside", "deep/../out"} {
			if there {
				require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
				require.NoError(t, os.Chmod(file, 0o664))
			}
			before, _ := os.Readlink(root + "/" + name)
			text := fmt.Sprintf("%s, %v", name, there)
			writeTo(t, root+"/"+name, text)
			require.Equal(t, text, contents(t, file), name)
			after, _ := os.Readlink(root + "/" + name)
			require.Equal(t, before, after, name)
			require.Equal(t, []string{"deep", "out"}, names(t, filepath.Dir(file)))
			if there {
				require.Equal(t, fs.FileMode(0o664), modeOf(t, file))
			} else {
				require.NoError(t, os.Remove(file))
			}
		}
	}
}

// What is no regular file is written through, and stays what it is.
func TestOutFileWritesThrough(t *testing.T) {
	dir := t.TempDir()

	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o644))
	require.NoError(t, os.Symlink("fifo", filepath.Join(dir, "link")))
	for _, name := range []string{"fifo", "link"} {
		read := make(chan string)
		go func() { // ends with the pipe
			b, err := os.ReadFile(fifo)
			read <- fmt.Sprint(string(b), err)
		}()
		writeTo(t, filepath.Join(dir, name), "through")
		require.Equal(t, "through<nil>", <-read)
		require.Equal(t, fs.ModeNamedPipe, modeOf(t, fifo).Type())
	}

	null := filepath.Join(dir, "null")
	require.NoError(t, os.Symlink(os.DevNull, null))
	devices := []string{os.DevNull, null}
	made := filepath.Join(dir, "device")
	if unix.Mknod(made, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) == nil {
		if f, err := os.OpenFile(made, os.O_WRONLY, 0); err == nil { // where devices of one's own work
			require.NoError(t, f.Close())
			devices = append(devices, made)
		}
	}
	for _, name := range devices {
		before := modeOf(t, name)
		writeTo(t, name, "through")
		require.Equal(t, before, modeOf(t, name), name)
		require.NotZero(t, modeOf(t, os.DevNull)&fs.ModeCharDevice)
	}
}

// What the process has open goes on where it stands: what the shell appends to is not begun again.
func TestOutFileOfDescriptors(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(name, []byte("before\n"), 0o600))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), link))
	for _, path := range []string{fmt.Sprintf("/dev/fd/%d", f.Fd()), fmt.Sprintf("/proc/self/fd/%d", f.Fd()), fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()), link} {
		writeTo(t, path, "more\n")
	}
	require.Equal(t, "before\n"+strings.Repeat("more\n", 4), contents(t, name))

	in, out, err := os.Pipe()
	require.NoError(t, err)
	writeTo(t, fmt.Sprintf("/dev/fd/%d", out.Fd()), "through")
	require.NoError(t, out.Close())
	b, err := io.ReadAll(in)
	require.NoError(t, err)
	require.NoError(t, in.Close())
	require.Equal(t, "through", string(b))
}

func TestOutFileRefuses(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "folder")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o444))
	for name, says := range map[string]string{
		"": "no name of a file", dir: "is a directory", dir + "/": "no name of a file", dir + "/..": "no name of a file",
		dir + "/folder": "is a directory", dir + "/loop": "symbolic links", dir + "/none/out": "no such file or directory",
		dir + "/file/out": "not a directory", "/dev/fd/1048575": "bad file descriptor",
	} {
		_, err := createFile(t.Context(), name)
		require.ErrorContains(t, err, says, "%q", name)
		code := exitOther
		if says == "no name of a file" {
			code = exitUsage // the command line is wrong, whatever the disk holds
		}
		require.Equal(t, code, exitCode(err), "%q", name)
	}
	if os.Getuid() != 0 {
		_, err := createFile(t.Context(), dir+"/file")
		require.ErrorContains(t, err, "permission denied")
	}

	// A pipe that nobody reads is waited for until the command ends.
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	_, err := createFile(ctx, fifo)
	require.ErrorIs(t, err, errInterrupted)
	require.Equal(t, exitInterrupted, exitCode(err))
	f, err := os.OpenFile(fifo, os.O_RDONLY, 0) // frees the writer that waits
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// Writing to a pipe whose reader has stopped reading ends when the command does.
func TestOutFileInterrupted(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	opened := make(chan *os.File)
	go func() { // ends once there is a writer
		f, _ := os.OpenFile(fifo, os.O_RDONLY, 0)
		opened <- f
	}()
	o, err := createFile(t.Context(), fifo)
	require.NoError(t, err)
	reader := <-opened
	defer func() { _ = reader.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	stop := o.until(ctx)
	defer stop()
	go cancel() // ends at once
	_, err = o.Write(make([]byte, 4<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	o.abandon()
}

// The command as a whole, to a file, to a link, to a pipe, to a device that is full; and what is left where it fails.
func TestExportTo(t *testing.T) {
	_, server := oneMember(t, 2)
	run(t, "map", "set", "e", "k", "1", server)
	const line = `{"key":"k","value":1,"ttl_ms":null}` + "\n"

	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	require.NoError(t, os.Chmod(file, 0o644))
	require.NoError(t, os.Symlink("out", filepath.Join(dir, "link")))
	run(t, "map", "export", "e", filepath.Join(dir, "link"), server)
	require.Equal(t, line, contents(t, file))
	require.Equal(t, fs.FileMode(0o644), modeOf(t, file))
	require.Equal(t, []string{"link", "out"}, names(t, dir))

	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	read := make(chan string)
	go func() { // ends with the pipe
		b, _ := os.ReadFile(fifo)
		read <- string(b)
	}()
	run(t, "map", "export", "e", fifo, server)
	require.Equal(t, line, <-read)

	failsAlone := func(code int, args ...string) {
		t.Helper()
		fails(t, code, args...)
		require.Equal(t, line, contents(t, file))
		require.Equal(t, []string{"fifo", "link", "out"}, names(t, dir))
	}
	failsAlone(exitOther, "map", "export", "e", "/dev/full", server)
	failsAlone(exitOther, "map", "export", "e", dir, server)
	failsAlone(exitUnavailable, "map", "export", "e", file, "--server=127.0.0.1:1", "--timeout=200ms")

	// Import reads what export writes through, too.
	go func() { // ends with the command that reads
		_ = os.WriteFile(fifo, []byte(line), 0)
	}()
	run(t, "map", "import", "copy", fifo, server)
	require.Equal(t, "1\n", run(t, "map", "get", "copy", "k", server))
}

// A failure names the file that was asked for, not the one that is made beside it for a while.
func TestOutFileNamesTheTarget(t *testing.T) {
	_, err := createFile(t.Context(), "/proc/out")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "/proc/out")
	require.NotContains(t, err.Error(), ".export-")

	o, err := createFile(t.Context(), filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer o.abandon()
	require.NoError(t, o.f.Close()) // so that writing fails
	_, err = o.Write([]byte("x"))
	require.ErrorContains(t, err, o.place)
	require.NotContains(t, err.Error(), ".export-")
}
