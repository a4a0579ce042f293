package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is one life of a member, or of another program that is measured beside it. Its methods are safe for concurrent use.
type Process struct {
	name   string
	cmd    *exec.Cmd
	log    string // path
	from   int64  // where its part of the log begins
	ready  chan string
	exited chan struct{} // closed once the process is gone and reaped
	err    error         // of Wait; valid once exited is closed
}

// Launch starts a process, which appends its standard error to the log. Stop or Kill it, or it goes on when this process ends. The name
// is for errors.
func Launch(name string, cmd *exec.Cmd, log string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start member %s: %w", name, err)
	}
	defer func() { _ = f.Close() }() // the process has a descriptor of its own

	// The log may have lines of an earlier start, which are not this process's last words.
	from, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("start member %s: %w", name, err)
	}

	ready := make(chan string, 1)
	p := &Process{name: name, cmd: cmd, log: log, from: from, ready: ready, exited: make(chan struct{})}
	cmd.Stderr = f
	cmd.Stdout = &firstLine{got: ready}
	cmd.WaitDelay = time.Second // for standard output that a child of the member holds open

	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start member %s: %w", name, err)
	}

	go func() { // ends when the process does
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// PID returns the process ID, also of a process that has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited returns a channel that is closed once the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Exit returns how the process ended and what it logged last. REQUIRES Exited to be closed.
func (p *Process) Exit() error { return fmt.Errorf("%s ended: %w%s", p.name, p.exit(), p.lastWords()) }

// WaitReady waits for the first line that the process prints, which a member does once it is ready, and returns it.
func (p *Process) WaitReady(ctx context.Context) (string, error) {
	select {
	case line := <-p.ready:
		return line, nil
	case <-p.exited:
		// Without this a member that fails at its start would be waited for until ctx ends.
		return "", fmt.Errorf("member %s ended before it was ready: %w%s", p.name, p.exit(), p.lastWords())
	case <-ctx.Done():
		return "", fmt.Errorf("wait for member %s to be ready: %w%s", p.name, context.Cause(ctx), p.lastWords())
	}
}

// exit returns how the process ended. REQUIRES exited to be closed.
func (p *Process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// lastWords returns the last line that the process logged, for an error.
func (p *Process) lastWords() string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()

	const tail = 4 << 10
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}

	// The end of the log is enough for one line.
	b := make([]byte, min(tail, end-p.from))
	if _, err := f.ReadAt(b, end-int64(len(b))); err != nil {
		return ""
	}

	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return ""
	}
	return "; its last words: " + string(b[bytes.LastIndexByte(b, '\n')+1:])
}

// running reports whether the process has not been reaped.
func (p *Process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal sends a signal, and reports a process that has ended as an error wrapping os.ErrProcessDone.
func (p *Process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %v to member %s: %w", sig, p.name, err)
	}
	return nil
}

// Kill ends the process as a crash would and waits until it is gone. One that has ended already is left alone.
func (p *Process) Kill() error {
	err := p.signal(syscall.SIGKILL)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}

// Stop asks the process to end with SIGTERM and waits until it has. When ctx ends first, the process is killed.
//
// Errors: ctx's where the process had to be killed; an *exec.ExitError where its exit status was not 0.
func (p *Process) Stop(ctx context.Context) error {
	// A process that has ended by itself is judged below by how it ended.
	if err := p.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}

	select {
	case <-p.exited:
	case <-ctx.Done():
		select {
		case <-p.exited: // both at once
		default:
			return errors.Join(fmt.Errorf("stop member %s: it had to be killed: %w", p.name, context.Cause(ctx)), p.Kill())
		}
	}

	if p.err != nil {
		return fmt.Errorf("stop member %s: %w%s", p.name, p.err, p.lastWords())
	}
	return nil
}
