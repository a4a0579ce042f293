package server

import (
	"context"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// task starts a request about tasks.
func (s *Server) task(c *Conn, req *wire.Request) {
	id, services := req.ID, s.services.Load()
	bad := func(err error) { c.Answer(id, wire.CodeInvalid, []byte(err.Error())) }
	switch req.Op {
	case wire.OpTaskList:
		c.Answer(id, wire.CodeOK, wire.AppendStrings(nil, services.Tasks.Names()))
	case wire.OpTaskSubmit:
		b, err := wire.DecodeTaskBody(req.Body)
		if err != nil {
			bad(err)
			return
		}
		if b.Keyed {
			if int64(req.Partition) >= int64(services.Partitions) {
				bad(fmt.Errorf("partition %d of %d", req.Partition, services.Partitions))
				return
			}
			// A task with a key works on local entries, so it runs where the partition of the key is owned.
			if here, owner := services.Owner(int(req.Partition)); !here {
				c.Answer(id, wire.CodeMoved, wire.AppendMoved(nil, owner))
				return
			}
		}
		// The service keeps what it is given: the body is copied, since the frame is reused.
		b.Arg = append([]byte(nil), b.Arg...)
		b.Key = append([]byte(nil), b.Key...)
		code, text := services.Tasks.Submit(b)
		c.Answer(id, code, []byte(text))
	// A task that has ended already, or is not known, is not cancelled: the answer says which.
	case wire.OpTaskCancel:
		ref, err := wire.DecodeTaskRef(req.Body)
		if err != nil {
			bad(err)
			return
		}
		var took byte
		if services.Tasks.Cancel(ref.ID) {
			took = 1
		}
		c.Answer(id, wire.CodeOK, []byte{took})
	case wire.OpTaskWait:
		ref, err := wire.DecodeTaskRef(req.Body)
		if err != nil {
			bad(err)
			return
		}
		wait := taskWait(req.Deadline, services.Now())
		// The result may take long, and the reader has other requests.
		c.Later(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			res := services.Tasks.Wait(ctx, ref.ID)
			c.Answer(id, wire.CodeOK, wire.AppendTaskResult(nil, &res))
		})
	}
}

const (
	// maxTaskWait bounds one wait for a task's result; the caller asks again.
	maxTaskWait = 20 * time.Second
	// answerTime is for the way of an answer: a wait ends so long before its caller stops waiting.
	answerTime = 100 * time.Millisecond
)

// taskWait returns how long a call may wait for a task's result: its answer has to be there before the deadline, a cluster time
// in milliseconds as now is.
func taskWait(deadline, now int64) time.Duration {
	if deadline <= now {
		return 0
	}

	// The bound is with answerTime, which is taken off again below.
	left := maxTaskWait + answerTime
	if ms := uint64(deadline) - uint64(now); ms < uint64(left/time.Millisecond) {
		left = time.Duration(ms) * time.Millisecond
	}

	return max(left-answerTime, left/2)
}
