package wire

// A Stamp is an epoch of a partition, a version of an entry, or a version of the metadata. Its upper bits are the generation, and its
// lower bits count within the generation. So every stamp of a later generation is greater than any of an earlier one.
//
// Members and clients read generations out of stamps that others made, so the place of the bits never changes. Fields of messages
// hold stamps as plain integers.
type Stamp uint64

// stampBits are the bits that count within a generation.
const stampBits = 44

// MaxGeneration is the greatest generation that a stamp has room for.
const MaxGeneration = 1<<(64-stampBits) - 1

// StampOf returns the stamp of a generation with a count: a log index for an epoch, a number of changes for a version.
func StampOf(generation, count uint64) Stamp { return Stamp(generation<<stampBits + count) }

// Generation returns the generation of s.
func (s Stamp) Generation() uint64 { return uint64(s) >> stampBits }
