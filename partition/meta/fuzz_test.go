package meta

import (
	"bytes"
	"testing"
)

// FuzzApply applies any bytes to a cluster at birth, at work, and with replicas on their way and a partition stopped for recovery: the state stays sound, a refusal leaves no trace, and nothing
// takes effect twice.
func FuzzApply(f *testing.F) {
	for _, c := range everyCommand() {
		f.Add(Append(nil, c))
	}
	for _, c := range movingSteps() {
		f.Add(Append(nil, c))
	}
	f.Add([]byte{})
	f.Add([]byte{Format, byte(KindCreateTable), 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, cmd []byte) {
		if c, err := Decode(cmd); err == nil {
			// Varints may be longer than they must be; nothing else has two encodings.
			if again := Append(nil, c); !bytes.Equal(again, cmd) && len(again) >= len(cmd) {
				t.Fatalf("%T%+v is both %x and %x", c, c, cmd, again)
			}
		}
		for _, s := range []*State{New(), newTable(t, 2, false), movingState(t)} {
			before := s.View()
			res := s.Apply(cmd)
			if !res.OK() && s.View() != before {
				t.Fatalf("%x is refused with %q and changed the state", cmd, res.Text)
			}
			if err := s.v.check(); err != nil {
				t.Fatalf("after %x: %v", cmd, err)
			}
			for p := range before.Table {
				was, is := &before.Table[p], &s.v.Table[p]
				if same := bytes.Equal(was.append(nil), is.append(nil)); was.StoppedForRecovery && !same && is.Generation == was.Generation &&
					Kind(cmd[1]) != KindStopped {
					t.Fatalf("%x changed partition %d, which is stopped for recovery,: %+v, %+v", cmd, p, was, is)
				}
			}
			once := max(s.View().Version, before.Version+1)
			if again := s.Apply(cmd); res.OK() && s.View().Version > once {
				t.Fatalf("%x took effect twice: %+v, %+v", cmd, res, again)
			}
		}
	})
}

// FuzzSnapshot decodes any bytes: a snapshot that is accepted is that of a sound state, which goes on.
func FuzzSnapshot(f *testing.F) {
	for _, s := range []*State{New(), goldenState(f), movingState(f)} {
		snapshot := AppendSnapshot(nil, s.View())
		f.Add(snapshot)
		f.Add(snapshot[:len(snapshot)-snapshotSum])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		// The fuzzer cannot guess checksums: the bytes get theirs.
		for _, snapshot := range [][]byte{b, sealed(b)} {
			s, err := DecodeSnapshot(snapshot)
			if err != nil {
				continue
			}
			if err := s.v.check(); err != nil {
				t.Fatalf("accepted: %v", err)
			}
			again, err := DecodeSnapshot(AppendSnapshot(nil, s.View()))
			if err != nil || !bytes.Equal(AppendSnapshot(nil, again.v), AppendSnapshot(nil, s.v)) {
				t.Fatalf("a snapshot of a snapshot: %v", err)
			}
			s.v.AllLost()
			s.v.QuorumLost()
			s.v.Recoverable()
			for _, c := range append(everyCommand(), movingSteps()...) {
				s.Apply(Append(nil, c))
			}
			if err := s.v.check(); err != nil {
				t.Fatalf("unsound after more commands: %v", err)
			}
		}
	})
}

// movingSteps returns steps that movingState accepts, and some that differ from such by little.
func movingSteps() []Command {
	return []Command{
		&Promote{step(0, 1, 10)}, &Retire{step(0, 1, 10)}, &DropReplica{step(1, 1, 5)}, &Promote{step(1, 1, 5)},
		&Prefer{Partition: 1, Generation: 1, Member: member(4)}, &AddReplica{Partition: 0, Generation: 1, Holder: holder(4, 1)},
		&StopForRecovery{Partition: 0, Generation: 1}, &StopForRecovery{Partition: 2, Generation: 1}, stopped(2, 1, 9, 3, 2, 300), stopped(2, 1, 8, 2, 1, 2),
		&Retire{step(2, 1, 7)}, &Promote{step(2, 1, 7)}, &DropReplica{step(2, 1, 7)},
		&RecoverPartition{Partition: 2, FromGeneration: 1, Replicas: []Holder{holder(3, 1)}, Preferred: member(3)},
	}
}
