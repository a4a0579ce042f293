package bootstrap

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ClusterRef names a cluster and where its members are.
type ClusterRef struct {
	ID    wire.ID
	Name  string
	Addrs []string // client base addresses
}

// Envelope is a request to be sent to an address. It may be lost, repeated and overtaken.
type Envelope struct {
	To      string
	Message Message
}

// Output is what one step of a Machine wants done.
type Output struct {
	Reply   *Message    // the answer to the request that was received; set by Receive, and only by it
	Send    []Envelope  // requests; their answers go to Machine.Answer
	Decided *Proposal   // this step found the member's cluster bootstrapped: by this Proposal, of which it is a participant
	Join    *ClusterRef // the cluster to join, which this step has found
	Err     error       // a configured address belongs to another cluster; *OtherClusterError
	Log     []string    // lines for an operator
}

// Effects holds back a step's Output until everything that it promises is on disk.
type Effects struct {
	machine *Machine
	persist bool
	record  Record
	output  Output
}

// Commit calls save if the step changed the record, and returns the Output only when save returned nil. By that, save says that
// the record would survive a power cut. Commit is called exactly once for each step, before the next.
//
// When save fails nothing may be said about what the record holds, so the Machine has to be given up: its next step
// panics. A new one is made of whatever record is found on disk.
func (e Effects) Commit(save func(Record) error) (Output, error) {
	if e.persist {
		if err := save(e.record); err != nil {
			return Output{}, fmt.Errorf("save the bootstrap record: %w", err)
		}
	}
	e.machine.open = false
	return e.output, nil
}
