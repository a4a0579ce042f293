package server

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// dispatch starts a request. It runs on the connection's reader and does not block.
func (s *Server) dispatch(c *Conn, req *wire.Request, t *touched) {
	switch {
	case !req.Op.Known() || !c.peer && !req.Op.ForClients():
		c.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("operation %d is not known here", uint8(req.Op))))
		return
	case c.hello.Plane == wire.PlaneAdmin && req.Op != wire.OpRecover && req.Op != wire.OpPing:
		// This plane is open where no other is, so it allows nothing else.
		c.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("%v is not for this connection", req.Op)))
		return
	case c.peer && req.Op < 128:
		// Operations below 128 are those of clients, who have a port with bounds of its own.
		c.Answer(req.ID, wire.CodeInvalid, []byte("this is the members' port"))
		return
	case req.Flags&wire.FlagParts != 0 && (req.Op.Descriptor().Parks || !req.Op.IsRead() && !req.Op.IsWrite()):
		// Who granted a lock wants to hear what becomes of the answer, which is told of whole frames.
		c.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("%v shares no frame", req.Op)))
		return
	case req.Op.IsRead():
		services := s.services.Load()
		services.Maps.Handle(req, s.traced(c.caller(req), req), c.moment(services))
		return
	case req.Op.IsWrite():
		services := s.services.Load()
		if services.Maps.Handle(req, s.traced(c.caller(req), req), c.moment(services)) {
			// All writes that one read of the socket brought go into the log together.
			t.add(int(req.Partition), services.Partitions)
		}
		return
	}

	// What is neither a read nor a write of a partition has a handler of its own.
	if h := s.handlers[req.Op]; h != nil {
		h(c, req)
		return
	}

	c.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("%v is not for callers", req.Op)))
}
