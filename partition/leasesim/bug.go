package leasesim

// Bug is a rule that the simulated processes break.
type Bug uint8

const (
	// None: the rules are kept.
	None Bug = iota
	// UnfencedCommands: a command takes effect under another epoch than the one that it was proposed under (rule 1).
	UnfencedCommands
	// AnswersAtOnce: a new owner does not wait for the leases of others (rule 3).
	AnswersAtOnce
	// ForgetsOlderLeases: a new owner waits for the lease of the owner before it, and not for the largest since the last
	// Release (rule 3).
	ForgetsOlderLeases
	// ReleasesBeforeClean: an owner releases while it still waits for the leases of others (rule 4).
	ReleasesBeforeClean
	// ServesAfterRelease: an owner that has proposed its Release reads on (rule 4).
	ServesAfterRelease
	// LeaseFromCompletion: a lease counts from when the ReadIndex or command was completed, not from when it began (rule 5).
	LeaseFromCompletion
	// LeaseWithoutMargin: a lease is used to its end, as if clocks ran alike (rule 5).
	LeaseWithoutMargin
	// ReadsAcrossEpochs: a read whose lease was checked goes on in a state of another epoch (rule 6b).
	ReadsAcrossEpochs

	bugs // how many there are
)

var bugNames = [bugs]string{"none", "unfenced commands", "answers at once", "forgets older leases", "releases before clean",
	"serves after release", "lease from completion", "lease without margin", "reads across epochs"}

// String returns the bug's name.
func (b Bug) String() string { return bugNames[b] }
