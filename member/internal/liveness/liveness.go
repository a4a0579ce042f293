// Package liveness owns what a member knows of the life of the others: a connection to each, heartbeats over it, and whether each is suspect
// or unreachable. Where the others agree that one is down, it begins elections. Neither silence nor a refused connection is ever proof of
// death here: the metadata decide what depends on that.
//
// Apart from these elections, the package must not know what is done about a member that is down. Nor must it know who owns what, or how
// members that have moved are found. It reads the metadata and changes nothing in them.
package liveness

import (
	"context"
	"log/slog"
	"net"

	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Config is what Peers need of the member around them. All functions may be called by several goroutines at a time.
type Config struct {
	Self        wire.ID // the member
	Incarnation wire.ID // of this start
	NATS        uint64  // what this member answers to pings as PingResult.NATS
	Log         *slog.Logger
	Clock       *clock.Clock  // takes the samples that come with heartbeats
	Memory      *memory.Rooms // takes what the others say of their memory
	Locator     Locator

	// View returns the metadata as this member has applied them; nil before it has any.
	View func() *meta.View
	// Connect connects to a members' port and exchanges hellos. With an error, the answer tells who answered, if anybody did, and the
	// connection is closed.
	Connect func(ctx context.Context, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error)
	// Closing reports whether the member stops: then nobody further is pinged.
	Closing func() bool
	// Meta returns this member's replica of the metadata. It is called once View has returned some.
	Meta func() MetaGroup
	// Data returns the replicas of the partitions, nil before they run.
	Data func() DataGroups

	// Claimed takes what a member says it owns.
	Claimed func(member wire.ID, owned []wire.Owned)
	// Changed is called when a member is seen in another light than before. It does not block.
	Changed func()
	// Behind is called when a sample has shown that the clock is behind. It does not block.
	Behind func()
	// Doubted is called when a member answers this one as an unknown peer, or as one without a metadata replica. It does not block.
	Doubted func(by wire.ID)
}

// MetaGroup is the metadata group as far as elections go.
type MetaGroup interface {
	// LedBy reports whether a replica leads, as far as is known here.
	LedBy(replica uint64) bool
	// Elect has this member campaign when its turn comes, and reports whether another leads by then.
	Elect(down uint64, place, left int) bool
}

// DataGroups are the partitions' groups as far as elections go.
type DataGroups interface {
	// Elect has others elected for what a process led, with which the named processes agree. It reports whether every group was told.
	Elect(down wire.ID, agreed map[wire.ID]bool) bool
}

// Locator finds members that are not where the metadata say.
type Locator interface {
	// Locate returns where a member was found, if that was not where the metadata say.
	Locate(id wire.ID) (Location, bool)
	// Lost forgets where a member was found, for it does not answer there.
	Lost(id wire.ID, at Location)
	// Met takes the answer to a hello on a members' port, from a member that was perhaps not the one that was looked for.
	Met(a *wire.HelloAnswer, peerAddr string)
}

// Location is where a member was found.
type Location struct {
	PeerAddr    string
	Incarnation wire.ID // of the process that answered there
	Registered  wire.ID // the incarnation that the metadata had for the member then: when they have another, they know better
}
