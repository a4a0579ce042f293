package state

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Bounds of one answer to a read of many entries or events.
const (
	pageBytes   = 256 << 10
	pageEntries = 1000
	pageKeys    = 8192 // of a page without values
	maxAnswer   = wire.MaxFrame - wire.AnswerHeader
	// maxEventAnswer bounds the key and values of one event: both values of an update may be too large together. The rest of the answer is
	// what goes before the event, and before its values.
	maxEventAnswer = maxAnswer - 1<<10
)

// ReadPoint tells when and where a read takes place.
type ReadPoint struct {
	Partition uint32
	Epoch     uint64
	Now       int64   // cluster time in milliseconds
	AsOf      int64   // cluster time of a moment at which the state was the newest that there was
	Dropped   Dropped // optional: events that the ring has dropped
}

// Reading is one read of a partition on its way, in two steps. State.Read finds the answer, and needs the state. Append writes the answer, and
// does not. So large values are not copied while others wait for the state. The zero Reading is ready, and a Reading may be used again.
type Reading struct {
	Op   wire.Op
	Body []byte // what wire.Descriptor.Check has accepted. It is the caller's, and stays as it is until the answer was appended
	// Cache is set for reads of keys whose answer is to begin with a wire.CacheHead.
	Cache bool

	// The following is the state's.

	Code wire.Code
	// Idle has the entries that were so long idle, as far as the log knows, that their use must be committed before the answer.
	Idle wire.TouchBody
	// Used has the entries whose use should be in the log soon. The first of them expires at UsedUntil.
	Used      wire.TouchBody
	UsedUntil int64
	// Hits and Misses count the keys that were found and not found; Known reports whether there is such a map at all.
	Hits, Misses int
	// Repair says that a listener has asked for what it missed, and Lost how many losses the answer tells of.
	Repair bool
	Lost   int
	Known  bool

	found []wire.GetResult // reads of keys. Values are the state's own bytes, which never change
	views []Entry          // what found was made of; no Use where there is no entry
	keys  [][]byte         // reads of several keys: what they are. They alias Body
	text  []byte           // other reads: the body of the answer
	head  wire.CacheHead   // with Cache
}

// Append appends the body of the answer to dst.
func (r *Reading) Append(dst []byte) []byte {
	if r.Cache && len(r.found) > 0 {
		dst = wire.AppendCacheHead(dst, &r.head)
	}
	for i := range r.found {
		dst = wire.AppendGetResult(dst, &r.found[i])
	}
	return append(dst, r.text...)
}

// keptText is the largest buffer that a Reading keeps for its next use, and keptKeys the largest number of keys for which it keeps its lists.
const (
	keptText = 64 << 10
	keptKeys = 512
)

// Forget drops what was read: a Reading that waits for its next use must not keep values alive.
func (r *Reading) Forget() {
	clear(r.found)
	clear(r.views)
	clear(r.keys)
	clear(r.Idle.Keys)
	clear(r.Used.Keys)

	// One large answer must not make every later use of the Reading keep its buffers.
	if cap(r.text) > keptText {
		r.text = nil
	}
	if cap(r.views) > keptKeys {
		r.found, r.views, r.keys = nil, nil, nil
	}
	r.begin()
	r.Op, r.Body, r.Cache, r.Idle.Map, r.Used.Map = 0, nil, false, nil, nil
}

// begin makes the Reading ready to be read, perhaps for the second time.
func (r *Reading) begin() {
	r.Code, r.Hits, r.Misses, r.Known, r.UsedUntil = wire.CodeOK, 0, 0, false, 0
	r.Repair, r.Lost = false, 0
	r.found, r.views, r.text = r.found[:0], r.views[:0], r.text[:0]
	r.Idle.Keys, r.Idle.At, r.Used.Keys, r.Used.At = r.Idle.Keys[:0], r.Idle.At[:0], r.Used.Keys[:0], r.Used.At[:0]
}

// reader is how an operation reads the state.
type reader struct {
	code wire.Op
	// read reports false if something must be committed before the read may answer: the use of the entries in Idle or, without any, a
	// later time of the log's clock. Then it has changed nothing.
	read func(s *State, r *Reading, at *ReadPoint) bool
}

// readers are the reads of callers, by code: what each family has registered in its file.
var readers = registeredReads(keyReads, scanReads, lockReads, eventReads)

func registeredReads(families ...[]reader) (all [256]func(s *State, r *Reading, at *ReadPoint) bool) {
	for _, family := range families {
		for _, o := range family {
			if all[o.code] != nil {
				// Only one of the two could ever be executed.
				panic(fmt.Sprintf("state: read %v is registered twice", o.code))
			}
			all[o.code] = o.read
		}
	}
	return all
}

// Read finds the answer to r. It reports false if r may not be answered before something was committed: the uses in r.Idle or, without any, a
// later time of the log's clock. Then Read is called again. r.Op is a read that wire knows.
func (s *State) Read(r *Reading, at *ReadPoint) bool {
	r.begin()
	return readers[r.Op](s, r, at)
}
