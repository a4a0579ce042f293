package server

import "github.com/gridiron-io/gridiron/sdk/wire"

// interest takes note of the maps that a connection listens to.
func (s *Server) interest(c *Conn, req *wire.Request) {
	name, err := wire.DecodeMapBody(req.Body)
	if err != nil {
		c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
		return
	}

	if c.interests == nil {
		c.interests = make(map[string]int)
	}

	n, events := string(name), s.services.Load().Events
	if req.Op == wire.OpUninterest {
		// A peer that takes back more than it asked for must not change what others asked for.
		if c.interests[n] > 0 {
			if c.interests[n]--; c.interests[n] == 0 {
				delete(c.interests, n)
			}
			events.Uninterest(n)
		}
		c.Answer(req.ID, wire.CodeOK, nil)
		return
	}

	// Each map that is listened to costs a watermark each second, at every member.
	if c.interests[n] == 0 && len(c.interests) >= maxInterests {
		c.Answer(req.ID, wire.CodeOverloaded, []byte("too many maps listened to on one connection"))
		return
	}

	c.interests[n]++
	c.Answer(req.ID, wire.CodeOK, wire.AppendPositions(nil, events.Interest(n)))
}

// maxInterests bounds the maps that one connection may listen to.
const maxInterests = 10_000
