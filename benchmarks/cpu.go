package benchmarks

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// tick is the unit of the times in /proc/PID/stat, on every architecture that Linux runs on.
const tick = 10 * time.Millisecond

// errNoProc is reported where the system does not show the times of processes.
var errNoProc = errors.New("this system has no /proc/PID/stat")

// cpuTime returns how much CPU time a process has used, all its threads together, in user and in system mode. Its error
// wraps errNoProc where that cannot be known of any process.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		if _, self := os.Stat("/proc/self/stat"); errors.Is(self, fs.ErrNotExist) {
			err = errNoProc
		}

		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}

	d, err := parseStat(b)
	if err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	return d, nil
}

// parseStat reads the sum of utime and stime, the 14th and 15th field. The second field is the name in parentheses, which
// may hold spaces and parentheses itself.
func parseStat(b []byte) (time.Duration, error) {
	const utime, stime = 14 - 3, 15 - 3 // counted after the name
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= stime {
		return 0, fmt.Errorf("%d fields after the name", len(fields))
	}

	var ticks uint64
	for _, f := range fields[utime : stime+1] {
		n, err := strconv.ParseUint(string(f), 10, 63)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// cpuTimes is the CPU time used so far by the client, which is this process, and by the members together. Members that live
// in this process count as the client.
type cpuTimes struct{ client, members time.Duration }

// readCPU reads the times of this process and of the members'.
func readCPU(members []int) (t cpuTimes, err error) {
	self := os.Getpid()
	if t.client, err = cpuTime(self); err != nil {
		return t, err
	}

	for _, pid := range members {
		// A member inside this process was counted with the client, and cannot be told apart.
		if pid == self {
			continue
		}

		d, err := cpuTime(pid)
		if err != nil {
			return t, err
		}
		t.members += d
	}
	return t, nil
}

// CPUTime returns the CPU time that processes have used so far, together.
func CPUTime(pids []int) (sum time.Duration, err error) {
	for _, pid := range pids {
		d, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}
