package meta

import (
	"encoding/binary"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Result is what applying a command gave. A Code other than CodeOK says that nothing was changed, and Text says why, for
// people. Codes that Apply answers:
//
//   - CodeOK: done, or done before;
//   - CodeConflict: the state is not what the command expected;
//   - CodeNotFound: the member or partition does not exist;
//   - CodeNotReady: the cluster is not bootstrapped yet, or has no table yet;
//   - CodeMemberLeft: the incarnation has left or was declared dead; only a later start may go on;
//   - CodeOverloaded: a bound of the state was reached;
//   - CodeInvalid: the command contradicts itself, or cannot be understood by this build.
type Result struct {
	Code  wire.Code
	Text  string
	Value []byte // AllocMeta, AddReplica: the replica ID, eight bytes; else nil
}

// OK reports whether the command's wish is fulfilled.
func (r Result) OK() bool { return r.Code == wire.CodeOK }

// ReplicaID returns the replica ID that the result of an AllocMeta or AddReplica carries, or 0.
func (r Result) ReplicaID() uint64 {
	if len(r.Value) != 8 {
		// The results of other commands carry no ID, and neither do refusals.
		return 0
	}
	return binary.BigEndian.Uint64(r.Value)
}

// AppendResult appends r.
func AppendResult(dst []byte, r *Result) []byte {
	dst = wire.AppendU16(dst, uint16(r.Code))
	return wire.AppendBytes(wire.AppendString(dst, r.Text), r.Value)
}

// DecodeResult reads what AppendResult wrote. Value aliases b.
func DecodeResult(b []byte) (Result, error) {
	r := wire.NewReader(b)
	res := Result{Code: wire.Code(r.U16()), Text: r.String(), Value: r.Bytes()}
	return res, r.Done()
}

func refuse(code wire.Code, format string, args ...any) Result {
	return Result{Code: code, Text: fmt.Sprintf(format, args...)}
}
