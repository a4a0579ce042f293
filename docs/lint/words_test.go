package lint

import "regexp"

// retiredWord is a word that this project no longer uses, and where to look for it. This is the one file that may say it.
type retiredWord struct {
	old, say string

	// stems are what a line must contain, in lower case, to be looked at more closely.
	stems []string
	// name matches the parts of a Go name in lower case, parted by spaces: "hand over" for handOver. Nil: names are free.
	name *regexp.Regexp
	// text matches comments, strings and documents, in which underscores count as spaces.
	text *regexp.Regexp
	// fine matches what texts may say all the same: another meaning of the word. Nil: nothing.
	fine *regexp.Regexp

	// Planted: names and texts that must be found, and texts that must not be.
	names, texts, passes []string
}

// words compiles alternatives that begin and end where words do.
func words(alternatives string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b(?:` + alternatives + `)\b`)
}

// retiredWords is everything that has another name now. docs/GLOSSARY.md explains the new names.
var retiredWords = []retiredWord{
	{
		old: "hand-over, heir", say: "leadership transfer, ownership transfer; transferee",
		stems: []string{"hand", "heir"},
		name:  words(`hand(?:s|ed|ing)? overs?|handovers?|heirs?`),
		text:  words(`hand(?:s|ed|ing)?[- ]?overs?|heirs?|hand(?:s|ed|ing)? (?:it|them|(?:the|its|a|their) (?:partitions?|ownership|leadership|groups?)) over`),
		names: []string{"handOver", "HandOvers", "namedHeir"}, texts: []string{"a hand-over", "handed over", "hands the partition over", "hand_overs"},
		passes: []string{"on the other hand", "their parts"},
	},
	{
		old: "stand for election, turns", say: "campaign; staggered campaigning",
		stems: []string{"stand", "stood", "turn"},
		name:  words(`stood|stand for|turns`),
		text:  words(`(?:stands?|stood|standing) for election|stood (?:in vain|once|again)|(?:stands?|stood|standing|elections?) in turns?|in turns|(?:first|next|second) turn`),
		names: []string{"stoodInVain", "turnsOf"}, texts: []string{"stands for election", "the voters stand in turns", "the next turn comes"},
		passes: []string{"it turns into", "clockStanding", "this stands for that", "standIn", "an understanding"},
	},
	{
		old: "image", say: "state snapshot",
		stems: []string{"image"},
		name:  words(`images?`), text: words(`images?`), fine: words(`(?:container|docker|OCI|base) images?`),
		names: []string{"readImage", "imagesSent"}, texts: []string{"an image of the state", "images.sent"}, passes: []string{"the container image", "imaginary"},
	},
	{
		old: "founding", say: "bootstrap",
		stems: []string{"found"},
		name:  words(`foundings?|founders?|founds|founded|found (?:cluster|table|alone|together|three)`),
		text:  words(`foundings?|founders?|founds|founded|to found|(?:can|cannot|may|must|could|not|and|that|they|members) found (?:the |a |another |one |two )?clusters?|found (?:the |a |another |one |two )?clusters? (?:together|alone)|found or join`),
		names: []string{"foundingSeats", "isFounder", "foundTable"}, texts: []string{"the founding hangs", "members that found a cluster together", "it was founded", "found or join a cluster"},
		passes: []string{"it was found", "the value found", "profound", "if a key is found", "has found a cluster"},
	},
	{
		old: "found anew, refound, begin anew, go on from", say: "quorum-loss recovery; recover from a survivor",
		stems: []string{"anew", "refound", "on from"},
		name:  words(`refound(?:s|ed|ing)?|begin anew|begins anew|found anew`),
		text:  words(`(?:found|founds|founded|founding|begin|begins|began|begun|beginning) anew|refound(?:s|ed|ing)?|(?:go|goes|going|went|gone) on from (?:a|the|one|its) (?:survivor|replica)`),
		names: []string{"Refound", "refoundLost"}, texts: []string{"the metadata begin anew", "went on from one replica", "Refounding"},
		passes: []string{"the caller goes on from there", "a profound change"},
	},
	{
		old: "seed, sow", say: "state transfer into the new generation",
		stems: []string{"sow", "seed"},
		name:  words(`sow(?:s|n|ed|ing)?|unseeded|(?:re)?seed(?:ed|ing|er)?s? (?:done|entry|entries|piece|pieces|state|generation|log|partition)|(?:is|was|not) seeded`),
		text:  words(`sow(?:s|n|ed|ing)?|unseeded|(?:re)?seed(?:s|ed|ing)? (?:of )?(?:a|the|its) (?:next |new )?(?:generations?|partitions?|states?|groups?|logs?)|SeedDone`),
		names: []string{"sow", "reseedPartition", "SeedDone", "seedPieces"}, texts: []string{"it sows the state", "seeds the next generation", "an unseeded one"},
		passes: []string{"the seed of a random generator", "seed 12 of the run", "reseed asks the addresses given"},
	},
	{
		old: "halt", say: "stop for recovery",
		stems: []string{"halt"},
		name:  words(`halt(?:s|ed|ing)?`), text: words(`halt(?:s|ed|ing)?`),
		names: []string{"haltReplica", "Halted"}, texts: []string{"the generation is halted"}, passes: []string{"a shalt"},
	},
	{
		old: "doubtful", say: "possible data loss",
		stems: []string{"doubtful"},
		name:  words(`doubtful`), text: words(`doubtful`),
		names: []string{"Doubtful"}, texts: []string{"partitions.doubtful", "PARTITION_DOUBTFUL"}, passes: []string{"no doubt"},
	},
	{
		old: "dead for certain", say: "confirmed dead",
		stems: []string{"certain"},
		name:  words(`dead for certain|certainly dead`), text: words(`dead for certain|certainly dead`),
		names: []string{"deadForCertain"}, texts: []string{"one is dead for certain"}, passes: []string{"for certain keys"},
	},
	{
		old: "seat; dismiss", say: "metadata voter, metadata learner; remove the voter",
		stems: []string{"seat", "dismiss"},
		name:  words(`seats?|dismiss(?:es|ed|ing|al)?`), text: words(`seats?|dismiss(?:es|ed|ing|al)?`),
		names: []string{"foundingSeat", "dismissed", "Seats"}, texts: []string{"gives up its seat", "is dismissed"}, passes: []string{"seated"},
	},
	{
		old: "beat", say: "heartbeat between members; an owner's watermark",
		stems: []string{"beat"},
		name:  words(`beats?|beating`), text: words(`beats?|beating`), fine: regexp.MustCompile(`grid\.beat\b`), // a subject on the wire

		names: []string{"sendBeats", "Beat"}, texts: []string{"a beat of the owner", "beats for it"}, passes: []string{"a heartbeat", "heartbeats"},
	},
	{
		old: "cleanAt", say: "serve-after time, lease wait",
		stems: []string{"clean"},
		name:  words(`clean at`), text: words(`cleanAt|clean at`),
		names: []string{"cleanAt"}, texts: []string{"before cleanAt"}, passes: []string{"a clean attempt"},
	},
	{
		old: "spell", say: "serving term",
		stems: []string{"spell"},
		name:  words(`spells?`), text: words(`spells?`), fine: words(`spells? (?:out|it|them)`),
		names: []string{"spellOf", "newSpell"}, texts: []string{"in this spell"}, passes: []string{"misspelled", "spelled", "spells out"},
	},
	{
		old: "tend", say: "reconcile",
		stems: []string{"tend"},
		name:  words(`tend(?:s|ed|ing)?`), text: words(`tend(?:s|ed|ing)?`), fine: words(`tends? to`),
		names: []string{"tendMaps", "tending"}, texts: []string{"tending the replicas"}, passes: []string{"keys tend to repeat", "an extended one", "intends"},
	},
	{
		old: "kick, nudge", say: "notify, wake",
		stems: []string{"kick", "nudg"},
		name:  words(`kick(?:s|ed|ing)?|nudg(?:e|es|ed|ing)`), text: words(`kick(?:s|ed|ing)?|nudg(?:e|es|ed|ing)`),
		names: []string{"kick", "nudged"}, texts: []string{"kicks the loop"}, passes: []string{"wakes the loop"},
	},
	{
		old: "let go", say: "fail in-flight operations as unknown",
		stems: []string{"go"},
		name:  words(`lets? go|letting go`), text: words(`let(?:s|ting)? go`), fine: words(`let(?:s|ting)? go of`),
		names: []string{"letGo"}, texts: []string{"the waiters are let go"}, passes: []string{"readers let go of the lock", "let goroutines end"},
	},
	{
		old: "parking", say: "wait queue",
		stems: []string{"parking"},
		name:  words(`parking`), text: words(`parking`),
		names: []string{"newParking"}, texts: []string{"wake the parking"}, passes: []string{"a parked call"},
	},
	{
		old: "grace", say: "rebuild delay",
		stems: []string{"grace"},
		name:  words(`graces?`), text: words(`graces?`), fine: words(`termination grace|grace period of (?:Kubernetes|the pod)`),
		names: []string{"graceFor", "Grace"}, texts: []string{"cluster.grace", "after a grace of ten seconds"}, passes: []string{"a graceful end", "the termination grace period"},
	},
	{
		old: "stranger; expelled; gone", say: "unknown peer; removed member; unreachable",
		stems: []string{"stranger", "expel", "expul", "gone"},
		name:  words(`strangers?|expel(?:s|led|ling)?`), text: words(`strangers?|expel(?:s|led|ling)?|expulsions?|finds? (?:it|them|one|a member|the member|another) gone|\*gone\*`),
		names: []string{"isStranger", "expel", "memberExpelled"}, texts: []string{"as that of a stranger", "MEMBER_EXPELLED", "finds a member gone"},
		passes: []string{"the entry is gone"},
	},
	{
		old: "window of calls", say: "client request window",
		stems: []string{"window"},
		text:  words(`windows? of (?:the |a |its )?(?:client's )?calls`),
		texts: []string{"the window of calls for which a client still waits"}, passes: []string{"a window of ten seconds"},
	},
}

// style is what sentences here do without: they say it in a plainer way.
var style = []retiredWord{
	{
		old: "anew", say: "again, or what happens", text: words(`anew`),
		stems: []string{"anew"},
		texts: []string{"it is built anew"}, passes: []string{"a new one", "manew"},
	},
	{
		old: "in vain", say: "without success, or what did not happen", text: words(`in vain`),
		stems: []string{"vain"},
		texts: []string{"it asked in vain"}, passes: []string{"invain"},
	},
	{
		old: "shall", say: "must, or the plain present", text: words(`shall`),
		stems: []string{"shall"},
		texts: []string{"it shall stop"}, passes: []string{"a shallow copy"},
	},
	{
		old: "that one", say: "the noun", text: regexp.MustCompile(`(?i)\bthat one(?:[.,;:)"']| (?:alone|too|only|any ?more)\b)`),
		stems: []string{"that one"},
		texts: []string{"it waits for that one.", "before that one alone"}, passes: []string{"that once", "so that one fits", "all that one read brought"},
	},
}

// allowance is a file that may say a retired word, and why. Its old is that of the retiredWord, or "" for all of them.
type allowance struct{ file, old, why string }

// wordsAllowed are all of them.
var wordsAllowed = []allowance{
	{"docs/lint/words_test.go", "", "it lists them"},
	{"LICENSE", "", "it is quoted"},
	{"cmd/grid/internal/app/resetbootstrap.go", "founding", "reset-founding is the command's former name, which still works"},
	{"cmd/grid/internal/nearest/former.go", "grace", "a name of today is shown to those who use the former one"},
	{"cmd/grid/internal/nearest/nearest_test.go", "grace", "likewise"},
	{"cmd/grid/internal/config/config_test.go", "grace", "likewise"},
	{"cmd/grid/internal/config/environment_test.go", "grace", "likewise"},
	{"member/internal/bootstrap/store_format.go", "seat; dismiss", "seats is a field of a file on disk"},
	{"member/internal/bootstrap/store_test.go", "seat; dismiss", "seats is a field of a file on disk"},
}
