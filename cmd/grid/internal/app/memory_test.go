package app

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// files returns a file system with the given files.
func files(content map[string]string) fs.FS {
	out := make(fstest.MapFS)
	for name, text := range content {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestAvailableMemory(t *testing.T) {
	const meminfo = "MemTotal:       16384 kB\nMemFree:         1000 kB\n" // 16 MB
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing known":    {nil, 0},
		"machine":          {map[string]string{"proc/meminfo": meminfo}, 16 << 20},
		"no sense":         {map[string]string{"proc/meminfo": "MemTotal: many kB\n", "proc/self/cgroup": "::\nx\n"}, 0},
		"group":            {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "4096\n"}, 4096},
		"group above":      {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "8192\n"}, 8192},
		"container's root": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/not/here\n", "sys/fs/cgroup/memory.max": "2048\n"}, 2048},
		"without a limit":  {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 16 << 20},
		"version 1":        {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "3:cpu,cpuacct:/x\n4:memory:/d\n", "sys/fs/cgroup/memory/d/memory.limit_in_bytes": "1024\n"}, 1024},
		"above machine":    {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 16 << 20},
	} {
		require.Equal(t, c.want, availableMemory(files(c.files)), name)
	}
}
