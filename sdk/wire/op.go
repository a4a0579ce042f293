package wire

import "strconv"

// UpToDate is the body of a request for what follows from the metadata, which is to be answered by what is committed in them when it
// comes, as far as the member asked can learn that soon. Without it the answer is what the member knows.
var UpToDate = []byte{1}

// Op is an operation code of the calls plane. Codes below 128 are for clients, the others between members only.
type Op uint8

const (
	OpPing       Op = 1 // no body; the answer's cluster time is the point
	OpTable      Op = 2 // nothing or UpToDate -> Table: subscribe to the table, later Tables are pushed
	OpStatus     Op = 3 // nothing or UpToDate -> ClusterStatus
	OpPartitions Op = 4 // []PartitionInfo, with the indexes of the replicas on the member asked
	OpMaps       Op = 5 // []MapInfo over the partitions that the member asked owns

	OpMapStats Op = 6 // MapBody -> MapCounts of the map on the member asked

	// Reads of one partition.
	OpGet       Op = 16 // KeyBody -> GetResult
	OpContains  Op = 17 // KeyBody -> GetResult without the value
	OpGetMany   Op = 18 // KeysBody -> []GetResult in the keys' order
	OpSize      Op = 19 // MapBody -> uvarint
	OpScan      Op = 20 // ScanBody -> ScanResult
	OpEvents    Op = 21 // EventsBody -> EventsResult
	OpEntryView Op = 22 // KeyBody -> EntryViewResult
	OpIsLocked  Op = 23 // KeyBody -> LockResult

	// Writes of one partition: WriteBody -> WriteResult, unless said otherwise.
	OpSet           Op = 32
	OpPut           Op = 33
	OpPutIfAbsent   Op = 34
	OpReplace       Op = 35
	OpReplaceIfSame Op = 36
	OpRemove        Op = 37
	OpRemoveIfSame  Op = 38
	OpDelete        Op = 39
	OpSetTTL        Op = 40
	OpEvict         Op = 41
	OpSetMany       Op = 42 // ManyBody -> BulkResult
	OpDeleteMany    Op = 43 // ManyBody without values -> BulkResult
	OpClear         Op = 44 // MapBody -> WriteResult
	OpDestroy       Op = 45 // MapBody -> WriteResult
	OpLock          Op = 46 // LockBody -> LockResult; with LockWait answered when the lock was got, or shortly before the deadline
	OpUnlock        Op = 47 // UnlockBody -> WriteResult
	OpRenew         Op = 48 // LockBody -> LockResult; with LockWait answered when the lock was lost, or shortly before the deadline
	OpForceUnlock   Op = 49 // KeyBody -> WriteResult
	OpLoad          Op = 50 // LockBody -> LockResult: who asks first is to load the value of a key that has none; as OpLock
	OpLoaded        Op = 51 // LoadedBody -> WriteResult
	OpRemoveAll     Op = 52 // RemoveBody -> RemoveResult; in the log as a RemovalBody

	// Proposed by owners only, never accepted from a client.
	OpSweep     Op = 64 // SweepBody: removes entries, and ends leases of locks, whose time has come by the clock of the log -> uvarint, how many
	OpEvictMany Op = 65 // EvictBody: removes entries to make room -> uvarint, how many
	OpTouch     Op = 66 // TouchBody: entries were used, so that their max-idle begins anew -> uvarint, how many
	OpResume    Op = 67 // no body: an owner begins to serve; leases of locks go on for at least a while

	// Listeners and tasks, addressed to a member.
	OpInterest   Op = 80 // MapBody: this connection listens to the map -> []Position of the partitions owned here
	OpUninterest Op = 81 // MapBody
	OpTaskSubmit Op = 82 // TaskBody -> empty; accepted. Repeating it under the same task ID has no further effect
	OpTaskWait   Op = 83 // TaskRef -> TaskResult; waits up to the call's deadline
	OpTaskCancel Op = 84 // TaskRef -> one byte, 1 if the task's context was ended by this call
	OpTaskList   Op = 85 // executor name -> []string

	// Configuration of maps; any member answers.
	OpSetMapConfig Op = 86 // SetMapConfigBody -> empty; CodeConflict where the configurations are at another version
	OpMapConfigs   Op = 87 // -> MapConfigsResult, as they were committed when the call came

	// Administration of the cluster; any member passes it on to the one that leads the metadata group. All may be repeated.
	OpDrainMember  Op = 88 // DrainBody -> LeavingResult; CodeConflict where nobody else could hold what the member holds
	OpRemoveMember Op = 89 // ForgetBody -> LeavingResult; CodeConflict where the member answers, or may hold data that nobody gives up
	OpRebalance    Op = 90 // RebalanceBody -> BalanceResult

	// OpRecover has the member that is asked begin the metadata anew: RecoverBody -> RecoverResult. It may be repeated; CodeConflict where
	// that must not be.
	OpRecover Op = 91

	// Between members.
	OpMemberPing  Op = 128 // PingBody -> PingResult
	OpMetaPropose Op = 129 // a metadata command -> its result
	OpMetaRead    Op = 130 // -> one byte, 1 if it is what was committed when it was asked for, and the metadata's state snapshot
	OpMetaJoin    Op = 131 // JoinBody -> JoinResult: a member asks for its place in the metadata group
	OpMemberDown  Op = 132 // DownBody -> one byte, 1 if the member asked finds that process down too
	OpReplica     Op = 133 // ReplicaBody -> ReplicaResult: how far a replica is
	// OpMetaCaughtUp asks a member to catch up with what the metadata group has committed: CodeOK when it has.
	OpMetaCaughtUp Op = 134
	// OpMetaLeave tells the member that leads the metadata group that the caller leaves: CodeOK when the group can do without it.
	OpMetaLeave Op = 135
	// OpMetaLead asks a member to lead the metadata group in the place of the caller, which leads it: CodeOK when its replica stands for that.
	OpMetaLead Op = 136
	// OpAdmin passes an operation of administration on: AdminBody -> its answer; CodeNotReady where the member does not lead the metadata group.
	OpAdmin Op = 160
)

// opKind is where an operation is answered and what it does there.
type opKind uint8

const (
	opUnknown   opKind = iota
	opAddressed        // for clients, addressed to a member
	opRead             // for clients, reads one partition
	opWrite            // for clients, writes one partition
	opLogged           // stands in the log only
	opPeer             // between members
)

// ops is what this build knows, by code.
var ops = [256]struct {
	name string
	kind opKind
}{
	OpPing: {"ping", opAddressed}, OpTable: {"table", opAddressed}, OpStatus: {"status", opAddressed},
	OpPartitions: {"partitions", opAddressed}, OpMaps: {"maps", opAddressed},
	OpMapStats: {"map_stats", opAddressed},

	OpGet: {"get", opRead}, OpContains: {"contains_key", opRead}, OpGetMany: {"get_all", opRead}, OpSize: {"size", opRead},
	OpScan: {"scan", opRead}, OpEvents: {"events", opRead}, OpEntryView: {"entry_view", opRead},
	OpIsLocked: {"is_locked", opRead},

	OpSet: {"set", opWrite}, OpPut: {"put", opWrite}, OpPutIfAbsent: {"put_if_absent", opWrite}, OpReplace: {"replace", opWrite},
	OpReplaceIfSame: {"replace_if_same", opWrite}, OpRemove: {"remove", opWrite}, OpRemoveIfSame: {"remove_if_same", opWrite},
	OpDelete: {"delete", opWrite}, OpSetTTL: {"set_ttl", opWrite}, OpEvict: {"evict", opWrite}, OpSetMany: {"set_all", opWrite},
	OpDeleteMany: {"delete_all", opWrite}, OpClear: {"clear", opWrite}, OpDestroy: {"destroy", opWrite},
	OpLock: {"lock", opWrite}, OpUnlock: {"unlock", opWrite}, OpRenew: {"renew_lock", opWrite}, OpForceUnlock: {"force_unlock", opWrite},
	OpLoad: {"load", opWrite}, OpLoaded: {"loaded", opWrite},
	OpRemoveAll: {"remove_all", opWrite},

	OpSweep: {"sweep", opLogged}, OpEvictMany: {"evict_many", opLogged}, OpTouch: {"touch", opLogged}, OpResume: {"resume", opLogged},

	OpInterest: {"interest", opAddressed}, OpUninterest: {"uninterest", opAddressed}, OpTaskSubmit: {"task_submit", opAddressed},
	OpTaskWait: {"task_wait", opAddressed}, OpTaskCancel: {"task_cancel", opAddressed}, OpTaskList: {"task_list", opAddressed},

	OpSetMapConfig: {"set_map_config", opAddressed}, OpMapConfigs: {"map_configs", opAddressed},

	OpDrainMember: {"drain_member", opAddressed}, OpRemoveMember: {"remove_member", opAddressed}, OpRebalance: {"rebalance", opAddressed},
	OpRecover: {"recover", opAddressed},

	OpMemberPing: {"member_ping", opPeer}, OpMetaPropose: {"meta_propose", opPeer}, OpMetaRead: {"meta_read", opPeer},
	OpMetaJoin: {"meta_join", opPeer}, OpMemberDown: {"member_down", opPeer}, OpReplica: {"replica", opPeer},
	OpMetaCaughtUp: {"meta_caught_up", opPeer}, OpMetaLeave: {"meta_leave", opPeer},
	OpMetaLead: {"meta_lead", opPeer}, OpAdmin: {"admin", opPeer},
}

// String returns the operation's name as it appears in spans, metrics and logs.
func (o Op) String() string {
	if o.Known() {
		return ops[o].name
	}
	return "op " + strconv.Itoa(int(o))
}

// Known reports whether this build knows the operation. What follows is false for others.
func (o Op) Known() bool { return ops[o].kind != opUnknown }

// IsRead reports whether o reads one partition and changes nothing.
func (o Op) IsRead() bool { return ops[o].kind == opRead }

// IsWrite reports whether o is a write of one partition that a client may ask for.
func (o Op) IsWrite() bool { return ops[o].kind == opWrite }

// ForClients reports whether o is accepted on the client port.
func (o Op) ForClients() bool { return o.IsRead() || o.IsWrite() || ops[o].kind == opAddressed }
