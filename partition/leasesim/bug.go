package leasesim

// Bug is a rule that the simulated processes break.
type Bug uint8

const (
	// None: the rules are kept.
	None Bug = iota

	// UnfencedCommands: a command takes effect under another epoch than the one that it was proposed under (rule 1).
	UnfencedCommands
	// OwnsOfOlderTerms: an Own takes effect although its proposer was elected before the owner was (rule 1).
	OwnsOfOlderTerms
	// OwnsOfOlderEpochs: an Own takes effect although its proposer did not know of the present owner (rule 1).
	OwnsOfOlderEpochs

	// ReadsAtOnce: a new owner reads before its serve-after time (rule 3).
	ReadsAtOnce
	// AnswersAtOnce: a new owner tells the results of writes before its serve-after time (rule 3).
	AnswersAtOnce
	// QuorumReadsAtOnce: a new owner reads before its serve-after time if it has asked a majority (rule 3).
	QuorumReadsAtOnce
	// WaitsForNobody: a new owner waits for nobody, although the owner before has released nothing (rule 3).
	WaitsForNobody
	// TrustsItself: an owner that supersedes itself waits no longer for the owners before (rule 3).
	TrustsItself
	// TakesAllForItself: a new owner treats any owner before as itself (rule 3).
	TakesAllForItself
	// ForgetsOlderLeases: a new owner waits for the lease of the owner before it, and not for the largest since the last
	// Release (rule 3).
	ForgetsOlderLeases
	// LateReleaseForgetsLeases: the Release of a superseded owner ends the count of the leases since (rule 3).
	LateReleaseForgetsLeases
	// SnapshotIsNoOwn: an owner that learns so from a snapshot does not wait (rule 3).
	SnapshotIsNoOwn

	// ReleasesBeforeClean: an owner releases while it still waits for the leases of others (rule 4).
	ReleasesBeforeClean
	// ServesAfterRelease: an owner that has proposed its Release reads on (rule 4).
	ServesAfterRelease
	// OldReleasesFree: a new owner trusts the Release of any owner before, and not of the last one alone (rule 4).
	OldReleasesFree

	// LeaseFromCompletion: a lease counts from when the ReadIndex or command was completed, not from when it began (rule 5).
	LeaseFromCompletion
	// LeaseWithoutMargin: a lease is used to its end, as if clocks ran alike (rule 5).
	LeaseWithoutMargin
	// LeaseBeforeApplied: a ReadIndex gives a lease before the log was applied so far (rule 5).
	LeaseBeforeApplied

	// ReadsAfterLease: an owner does not look at the end of its lease (rule 6a).
	ReadsAfterLease
	// LeaseLookedAtLast: a read looks at the state first, and at the lease afterwards (rule 6, the order).
	LeaseLookedAtLast
	// ReadsAcrossEpochs: a read whose lease was checked goes on in a state of another epoch (rule 6b).
	ReadsAcrossEpochs

	// LeaseThroughSuspend: a lease goes by the monotonic clock alone (rule 7).
	LeaseThroughSuspend
	// LeaseThroughShortSuspend: a lease goes by the monotonic clock, as long as the wall clock differs by at most 50 ms (rule 7).
	LeaseThroughShortSuspend

	// InheritsTouched: keys that the owner before has touched are read before the serve-after time (rule 3b).
	InheritsTouched
	// InheritsOwnWrites: keys that the new owner itself has touched are (rule 3b).
	InheritsOwnWrites
	// InheritsPastTheRing: keys are, that were touched by events which the ring has forgotten (rule 3b).
	InheritsPastTheRing
	// InheritsFromWaitingOwners: a watermark counts also if its owner was waiting for others (rule 3b).
	InheritsFromWaitingOwners
	// InheritsFromSnapshots: what a snapshot holds counts as applied by the owner before (rule 3b).
	InheritsFromSnapshots
	// InheritsExpired: an entry that has expired is read as none (rule 3b).
	InheritsExpired
	// InheritsForLong: keys are read until the serve-after time (rule 3b).
	InheritsForLong
	// InheritsFromApplying: the time counts from when the Own was applied (rule 3b).
	InheritsFromApplying
	// InheritsFromLastProposal: the time counts from when the Own was last proposed, and not first (rule 3b).
	InheritsFromLastProposal
	// InheritsThroughSuspend: the time goes by the monotonic clock alone (rules 3b and 7).
	InheritsThroughSuspend
	// InheritsAfterwards: the time goes on when the epoch has ended, or the wait for others (rule 3b).
	InheritsAfterwards
	// InheritsUnchecked: a read looks for touches of the key when it begins, and not when it reads (rule 3b).
	InheritsUnchecked

	bugs // how many there are
)

var bugNames = [bugs]string{
	"none",
	"unfenced commands", "Owns of older terms", "Owns of older epochs",
	"reads at once", "answers at once", "quorum reads at once", "waits for nobody", "trusts itself", "takes all for itself",
	"forgets older leases", "late release forgets leases", "snapshot is no Own",
	"releases before clean", "serves after release", "old releases free",
	"lease from completion", "lease without margin", "lease before applied",
	"reads after lease", "lease looked at last", "reads across epochs",
	"lease through suspend", "lease through short suspend",
	"inherits touched", "inherits own writes", "inherits past the ring", "inherits from waiting owners", "inherits from snapshots",
	"inherits expired", "inherits for long", "inherits from applying", "inherits from last proposal", "inherits through suspend",
	"inherits afterwards", "inherits unchecked",
}

// String returns the bug's name.
func (b Bug) String() string { return bugNames[b] }
