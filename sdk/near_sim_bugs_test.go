package sdk

// simBug is a rule that the simulation breaks.
type simBug uint8

const (
	simNone simBug = iota

	// What owners publish.

	simBatchesThinned        // events are left out of messages, and nothing tells so
	simPublishesAtOnce       // a new owner publishes while others may still read what was before
	simWatermarkWithoutLease // an owner vouches without knowing that it still is the owner
	simAsOfWhenSent          // a watermark tells a time after the look at where the maps stand

	// What streams do.

	simGenerationsMixed     // a message of an earlier generation is taken for one of the present owner
	simFreshByMessages      // a message counts as fresh though others before it are missing
	simFreshOverGenerations // a watermark of a later generation counts for the place in this one

	// What is told to the cache.

	simLostIgnored             // LOST changes nothing
	simTTLIgnored              // SetTTL invalidates nothing
	simClearIgnored            // Clear and Destroy invalidate nothing
	simOwnWriteNotCounted      // the client's own writes do not count
	simUnknownIsNothing        // a write of unknown outcome does not count
	simUnknownKeepsLoads       // a write of unknown outcome does not end loads under way
	simReconnectForgetsNothing // the cache goes on when the stream begins again
	simKeptOverReconnect       // a load that began before the stream began again is installed

	// What the cache does.

	simInvalidationsIgnored // an answer is installed though the key was changed meanwhile
	simReadsOfFollowers     // members that do not own the partition answer loads
	simSequenceIgnored      // the same, and answers from before the stream's place are installed
	simExpiryIgnored        // expiries are not kept
	simMaxIdleIgnored       // entries are kept for longer than half of their max-idle
	simBypassIgnored        // the cache is used however old the freshness is
)

// simBugs has the bugs' names, and the weather in which each shows soon; nil: in any.
var simBugs = [...]struct {
	name    string
	weather func(*simWeather)
}{
	simNone:                    {name: "none"},
	simBatchesThinned:          {name: "85 % of a batch dropped"},
	simPublishesAtOnce:         {name: "publishes at once", weather: simSwarm},
	simWatermarkWithoutLease:   {name: "watermark without a lease", weather: simSplit},
	simAsOfWhenSent:            {name: "watermark's time after its look", weather: simSplit},
	simGenerationsMixed:        {name: "generations mixed", weather: simHurt},
	simFreshByMessages:         {name: "fresh by messages", weather: simLossy},
	simFreshOverGenerations:    {name: "fresh over generations", weather: simRecovered},
	simLostIgnored:             {name: "LOST ignored", weather: simForgetful},
	simTTLIgnored:              {name: "SetTTL ignored", weather: simRetimes},
	simClearIgnored:            {name: "Clear ignored", weather: simClears},
	simOwnWriteNotCounted:      {name: "own write not counted"},
	simUnknownIsNothing:        {name: "unknown outcome ignored", weather: simSlow},
	simUnknownKeepsLoads:       {name: "unknown outcome keeps loads", weather: simSlow},
	simReconnectForgetsNothing: {name: "reconnect forgets nothing", weather: simRestless},
	simKeptOverReconnect:       {name: "load kept over a reconnect", weather: simSlow},
	simInvalidationsIgnored:    {name: "invalidations ignored"},
	simReadsOfFollowers:        {name: "reads of followers", weather: simDeaf},
	simSequenceIgnored:         {name: "sequence ignored", weather: simDeaf},
	simExpiryIgnored:           {name: "expiry ignored"},
	simMaxIdleIgnored:          {name: "max-idle ignored"},
	simBypassIgnored:           {name: "bypass ignored", weather: simDeaf},
}

func (b simBug) String() string { return simBugs[b].name }

// followers reports whether members that do not own the partition answer loads.
func (b simBug) followers() bool { return b == simReadsOfFollowers || b == simSequenceIgnored }
