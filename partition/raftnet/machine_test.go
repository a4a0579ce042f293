package raftnet

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"sync"

	sm "github.com/lni/dragonboat/v4/statemachine"
)

// command is what the test's machine applies: a number and padding.
func command(key, size int) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(key)), make([]byte, size)...)
}

// testMachine keeps the commands it has applied, in order.
type testMachine struct {
	mu       sync.Mutex
	order    []uint64
	commands map[uint64][]byte
	changed  chan struct{}
}

func newTestMachine() *testMachine {
	return &testMachine{commands: map[uint64][]byte{}, changed: make(chan struct{})}
}

// watch returns how many commands there are and a channel that is closed when there are others.
func (m *testMachine) watch() (int, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.order), m.changed
}

func (m *testMachine) keys() []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]uint64(nil), m.order...)
}

func (m *testMachine) notifyLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *testMachine) Open(<-chan struct{}) (uint64, error) { return 0, nil }

func (m *testMachine) Lookup(any) (any, error) { return nil, nil }

func (m *testMachine) Sync() error { return nil }

func (m *testMachine) Close() error { return nil }

func (m *testMachine) PrepareSnapshot() (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &testMachine{order: append([]uint64(nil), m.order...), commands: maps.Clone(m.commands)}, nil
}

func (m *testMachine) Update(entries []sm.Entry) ([]sm.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		key := binary.BigEndian.Uint64(e.Cmd)
		if _, again := m.commands[key]; !again { // a proposal of unknown outcome may have been repeated
			m.order = append(m.order, key)
			m.commands[key] = append([]byte(nil), e.Cmd...)
		}
	}
	m.notifyLocked()
	return entries, nil
}

func (m *testMachine) SaveSnapshot(view any, w io.Writer, _ <-chan struct{}) error {
	v := view.(*testMachine)
	for _, key := range v.order {
		cmd := v.commands[key]
		if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(cmd)))); err != nil {
			return err
		}
		if _, err := w.Write(cmd); err != nil {
			return err
		}
	}
	return nil
}

func (m *testMachine) RecoverFromSnapshot(r io.Reader, _ <-chan struct{}) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order, m.commands = nil, map[uint64][]byte{}
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			m.notifyLocked()
			return nil
		} else if err != nil {
			return err
		}
		cmd := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, cmd); err != nil {
			return err
		}
		key := binary.BigEndian.Uint64(cmd)
		m.order = append(m.order, key)
		m.commands[key] = cmd
	}
}
