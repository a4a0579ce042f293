package app

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// memoryShare is the part of the memory, in percent, at which the collector works harder than that.
	memoryShare = 90
	// entriesShare is the part of that, in percent, which entries may take: the rest is for garbage, logs, and calls under way.
	entriesShare = 60
)

// limitMemory sets the memory limit of the garbage collector for a member, unless the environment says it already. root is the root of the
// file system. It returns the memory limit in bytes, 0 if there is none.
func (p *Process) limitMemory(root fs.FS) (limit int64) {
	// The environment knows better than what is found here.
	if p.env("GOMEMLIMIT") != "" {
		// A negative limit changes nothing and returns the limit that the environment has set.
		return debug.SetMemoryLimit(-1)
	}

	memory := availableMemory(root)
	if memory == 0 {
		return 0
	}

	// The rest is for what the collector does not count, such as the program's own text and the page cache.
	limit = memory / 100 * memoryShare
	debug.SetMemoryLimit(limit)
	return limit
}

// availableMemory returns how many bytes of memory the process may use: the least of the machine's and the limits of its
// control groups. It is 0 where none of them is known.
func availableMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)

	take := func(n int64, ok bool) {
		if ok && n > 0 {
			least = min(least, n)
		}
	}

	if b, err := fs.ReadFile(root, "proc/meminfo"); err == nil {
		take(memTotal(b))
	}

	if b, err := fs.ReadFile(root, "proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(b)) {
			// hierarchy:controllers:path; version 2 has one hierarchy, 0, without controllers.
			fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(fields) != 3 {
				continue
			}

			dir, file := "", ""
			switch {
			case fields[0] == "0" && fields[1] == "":
				dir, file = "sys/fs/cgroup", "memory.max"
			case strings.Contains(","+fields[1]+",", ",memory,"):
				dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
			default:
				continue
			}
			// The limits of all groups above hold too. In a container the path may not exist below its own root.
			for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
				if b, err := fs.ReadFile(root, path.Join(dir, group, file)); err == nil {
					n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
					take(n, err == nil) // "max" is no number
				}
				if group == "/" {
					break
				}
			}
		}
	}

	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// memTotal returns the memory of the machine from the content of /proc/meminfo.
func memTotal(meminfo []byte) (int64, bool) {
	lines := bufio.NewScanner(bytes.NewReader(meminfo))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}
