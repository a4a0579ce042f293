package meta

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Format is the version of the command format that this build writes and reads. A command is
//
//	format (1) · kind (1) · body
//
// A replica answers a command of another format or kind with CodeInvalid and stays as it is. So new ones may be proposed only
// once the feature level says that every member knows them.
const Format = 1

// Kind tells commands apart. A number is never given a second meaning.
type Kind uint8

const (
	KindInit             Kind = 1
	KindSetTime          Kind = 2
	KindRaiseLevel       Kind = 3
	KindRegister         Kind = 4
	KindSetState         Kind = 5
	KindForget           Kind = 6
	KindAllocMeta        Kind = 7
	KindSetMetaVoter     Kind = 8
	KindDropMeta         Kind = 9
	KindCreateTable      Kind = 10
	KindRecoverPartition Kind = 11
	KindAddReplica       Kind = 12
	KindPromote          Kind = 13
	KindRetire           Kind = 14
	KindDropReplica      Kind = 15
	KindPrefer           Kind = 16
	KindStopForRecovery  Kind = 17
	KindStopped          Kind = 18
	KindDrain            Kind = 19
	KindRecoverMetadata  Kind = 20

	KindInitMapConfigs Kind = 40
	KindSetMapConfig   Kind = 41
)

// Command is a change of the metadata: one of *Init, *SetTime, *RaiseLevel, *Register, *SetState, *Forget, *AllocMeta,
// *SetMetaVoter, *DropMeta, *CreateTable, *RecoverPartition, *AddReplica, *Promote, *Retire, *DropReplica, *Prefer, *StopForRecovery, *Stopped,
// *Drain, *RecoverMetadata, *InitMapConfigs and *SetMapConfig.
type Command interface {
	kind() Kind
	append(dst []byte) []byte
	decode(r *wire.Reader)

	// check refuses what no state could accept. It depends on the command alone.
	check() error

	// apply carries out the command on a bootstrapped cluster (*Init and *RecoverMetadata: on any), or refuses it without a trace.
	// REQUIRES: check() == nil.
	apply(s *State) Result
}

func newCommand(k Kind) Command {
	switch k {
	case KindInit:
		return new(Init)
	case KindSetTime:
		return new(SetTime)
	case KindRaiseLevel:
		return new(RaiseLevel)
	case KindRegister:
		return new(Register)
	case KindSetState:
		return new(SetState)
	case KindForget:
		return new(Forget)
	case KindAllocMeta:
		return new(AllocMeta)
	case KindSetMetaVoter:
		return new(SetMetaVoter)
	case KindDropMeta:
		return new(DropMeta)
	case KindCreateTable:
		return new(CreateTable)
	case KindRecoverPartition:
		return new(RecoverPartition)
	case KindAddReplica:
		return new(AddReplica)
	case KindPromote:
		return new(Promote)
	case KindRetire:
		return new(Retire)
	case KindDropReplica:
		return new(DropReplica)
	case KindPrefer:
		return new(Prefer)
	case KindStopForRecovery:
		return new(StopForRecovery)
	case KindStopped:
		return new(Stopped)
	case KindDrain:
		return new(Drain)
	case KindRecoverMetadata:
		return new(RecoverMetadata)
	case KindInitMapConfigs:
		return new(InitMapConfigs)
	case KindSetMapConfig:
		return new(SetMapConfig)
	}

	// A later version may know the kind. This one refuses it, on every replica alike.
	return nil
}

// Append appends c as it stands in the log.
func Append(dst []byte, c Command) []byte {
	return c.append(append(dst, Format, byte(c.kind())))
}

// Decode reads what Append wrote and refuses what no state could accept: a proposer that decodes its own command knows that
// it is sound. The command shares no memory with b. Errors wrap wire.ErrMalformed.
func Decode(b []byte) (Command, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: a metadata command of %d bytes", wire.ErrMalformed, len(b))
	}
	if b[0] != Format {
		// Bytes of another format may look like a command of this one.
		return nil, fmt.Errorf("%w: a metadata command of format %d, this is %d", wire.ErrMalformed, b[0], Format)
	}

	c := newCommand(Kind(b[1]))
	if c == nil {
		return nil, fmt.Errorf("%w: a metadata command of kind %d", wire.ErrMalformed, b[1])
	}

	r := wire.NewReader(b[2:])
	c.decode(&r)
	if err := r.Done(); err != nil {
		return nil, err
	}

	// A replica applies only what passes here, so every replica refuses the same commands.
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrMalformed, err)
	}
	return c, nil
}
