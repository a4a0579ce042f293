package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// outFile is a file that a command writes. A regular file is written aside. Once it is complete it replaces the old file, which stays
// whole until then. A pipe, a device, or an open file of the process, such as /dev/stdout, is written through.
type outFile struct {
	f     *os.File
	place string // where f belongs once it is complete; "": f is the file itself
}

// createFile returns the file that name stands for. It follows all symbolic links and changes none of them. A file that is replaced keeps
// its mode and, where that is permitted, its owner. A new file is made under the umask. The caller calls complete or abandon. Errors are
// those of the command line.
//
// It waits for whoever reads a pipe until ctx ends.
func createFile(ctx context.Context, name string) (*outFile, error) {
	p, err := placeOf(name)
	if err != nil {
		return nil, err
	}

	// The order matters: an open descriptor has no path that could be replaced.
	switch {
	case p.descriptor >= 0:
		// Opening it once more would begin at its first byte, and overwrite what the shell appends to.
		f, err := duplicate(p.descriptor, name)
		if err != nil {
			return nil, err
		}
		return &outFile{f: f}, nil

	case p.info == nil:
		return createAside(p, 0o666)

	case p.info.IsDir():
		return nil, failf(exitOther, "%q is a directory; name a file, or - for standard output", name)

	// A pipe, a device, or another process's open file cannot be replaced: the output goes right into it.
	case !p.info.Mode().IsRegular() || p.foreign:
		f, err := openWaiting(ctx, p.path, os.O_WRONLY|os.O_TRUNC)
		if err != nil {
			return nil, err
		}
		return &outFile{f: f}, nil
	}

	// A user who may not write the file must not replace it either, although the folder would permit that.
	f, err := os.OpenFile(p.path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return createAside(p, 0o600) // nobody reads it before it has the mode of the other
}

// createAside makes the file that is to stand at a place, beside it.
func createAside(p place, perm fs.FileMode) (*outFile, error) {
	for {
		// Beside the place and not in a temporary folder: a rename works only within one file system.
		name := filepath.Join(filepath.Dir(p.path), fmt.Sprintf(".export-%016x", rand.Uint64()))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, failf(exitOther, "make a file beside %s, to be renamed to it: %w", p.path, withoutPath(err))
		}

		o := &outFile{f: f, place: p.path}
		if p.info == nil {
			return o, nil
		}

		// The mode comes last: a change of owner takes bits away.
		keepOwner(f, p.info)
		if err := f.Chmod(p.info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)); err != nil {
			o.abandon()
			return nil, err
		}
		return o, nil
	}
}

func (o *outFile) Write(b []byte) (int, error) {
	n, err := o.f.Write(b)
	if err != nil && o.place != "" {
		err = fmt.Errorf("write beside %s: %w", o.place, withoutPath(err))
	}

	return n, err
}

// withoutPath returns err without the name of the temporary file, which means nothing to the user.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// until makes writing end with ctx where it waits for a reader. stop must be called.
func (o *outFile) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		_ = o.f.SetWriteDeadline(time.Unix(1, 0)) // regular files have none, and need none
	})
}

// complete closes the file and puts it where it belongs.
func (o *outFile) complete() error {
	// The output went right to where it belongs.
	if o.place == "" {
		return o.f.Close()
	}

	err := o.f.Sync() // else a power cut soon after could leave neither the old file nor the new one
	if err = errors.Join(err, o.f.Close()); err == nil {
		err = os.Rename(o.f.Name(), o.place)
	}

	// The old file stays, and nothing is left beside it.
	if err != nil {
		_ = os.Remove(o.f.Name())
	}
	return err
}

// abandon closes the file and leaves nothing of it, but for what has gone into a pipe or a device.
func (o *outFile) abandon() {
	_ = o.f.Close()
	if o.place != "" {
		_ = os.Remove(o.f.Name())
	}
}

// place is where a path leads after all symbolic links.
type place struct {
	path       string
	info       fs.FileInfo // nil: nothing is there
	descriptor int         // -1, or the place is what the process has open under this number
	foreign    bool        // likewise what another process has open: it has no name that it could be replaced under
}

// maxLinks is how many symbolic links may lead to one another, as for the system.
const maxLinks = 40

// descriptors are the folders in which each name stands for an open file of a process.
var descriptors = regexp.MustCompile(`^(/dev|/proc/([0-9]+)(/task/[0-9]+)?)/fd$`)

// placeOf follows the symbolic links of a path one by one. So a link to a file that does not exist yet has a place too.
func placeOf(name string) (place, error) {
	path := name
	for range maxLinks {
		dir, base := filepath.Split(path)
		if base == "" || base == "." || base == ".." {
			return place{}, usagef("%q is no name of a file", name)
		}
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return place{}, err
		}
		p := place{path: filepath.Join(dir, base), descriptor: -1}

		// The text of such a link is for people. Where the link leads to a pipe or to a file without a name, the text is no path.
		if d := descriptors.FindStringSubmatch(dir); d != nil {
			if n, err := strconv.Atoi(base); err == nil {
				if d[1] == "/dev" || d[2] == strconv.Itoa(os.Getpid()) {
					p.descriptor = n
					return p, nil
				}
				p.foreign = true
				p.info, err = os.Stat(p.path)
				return p, err
			}
		}

		info, err := os.Lstat(p.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return p, nil
		case err != nil:
			return place{}, err
		case info.Mode()&fs.ModeSymlink == 0:
			p.info = info
			return p, nil
		}

		to, err := os.Readlink(p.path)
		if err != nil {
			return place{}, err
		}
		if path = to; !filepath.IsAbs(to) {
			path = dir + string(filepath.Separator) + to // not joined: of a/../b the a may be a link
		}
	}
	return place{}, fmt.Errorf("%q: more than %d symbolic links", name, maxLinks)
}

// openWaiting opens a file that may be a pipe, for which it waits for the other side. When ctx ends first, the goroutine that
// waits is left to the end of the process, which follows.
func openWaiting(ctx context.Context, name string, flag int) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	opened := make(chan result, 1)
	go func() {
		f, err := os.OpenFile(name, flag, 0)
		opened <- result{f, err}
	}()

	select {
	case r := <-opened:
		return r.f, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
