package wire

import "strconv"

// Op is an operation code of the calls plane. Codes below 128 are for clients, the others between members only.
type Op uint8

const (
	OpPing       Op = 1 // no body; the answer's cluster time is the point
	OpTable      Op = 2 // subscribe to the table: answered with a View, later Views are pushed
	OpStatus     Op = 3 // ClusterStatus
	OpPartitions Op = 4 // []PartitionInfo, with the indexes of the replicas on the member asked
	OpMaps       Op = 5 // []MapInfo over the partitions that the member asked owns

	// Reads of one partition.
	OpGet      Op = 16 // KeyBody -> GetResult
	OpContains Op = 17 // KeyBody -> GetResult without the value
	OpGetMany  Op = 18 // KeysBody -> []GetResult in the keys' order
	OpSize     Op = 19 // MapBody -> uvarint
	OpScan     Op = 20 // ScanBody -> ScanResult
	OpEvents   Op = 21 // EventsBody -> EventsResult
	OpView     Op = 22 // KeyBody -> EntryViewResult

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

	// Proposed by owners only, never accepted from a client.
	OpSweep Op = 64 // SweepBody: removes entries whose time has come by the clock of the log

	// Listeners and tasks, addressed to a member.
	OpInterest   Op = 80 // MapBody: this connection listens to the map -> []Position of the partitions owned here
	OpUninterest Op = 81 // MapBody
	OpTaskSubmit Op = 82 // TaskBody -> empty; accepted. Repeating it under the same task ID has no further effect
	OpTaskWait   Op = 83 // TaskRef -> TaskResult; waits up to the call's deadline
	OpTaskCancel Op = 84 // TaskRef -> one byte, 1 if the task's context was ended by this call
	OpTaskList   Op = 85 // executor name -> []string

	// Between members.
	OpMemberPing  Op = 128 // PingBody -> PingResult
	OpMetaPropose Op = 129 // a metadata command -> its result
	OpMetaRead    Op = 130 // -> the metadata image as its voters have committed it
	OpMetaJoin    Op = 131 // a member asks for its place in the metadata group
)

var opNames = map[Op]string{
	OpPing: "ping", OpTable: "table", OpStatus: "status", OpPartitions: "partitions", OpMaps: "maps",
	OpGet: "get", OpContains: "contains_key", OpGetMany: "get_all", OpSize: "size", OpScan: "scan", OpEvents: "events", OpView: "entry_view",
	OpSet: "set", OpPut: "put", OpPutIfAbsent: "put_if_absent", OpReplace: "replace", OpReplaceIfSame: "replace_if_same",
	OpRemove: "remove", OpRemoveIfSame: "remove_if_same", OpDelete: "delete", OpSetTTL: "set_ttl", OpEvict: "evict",
	OpSetMany: "set_all", OpDeleteMany: "delete_all", OpClear: "clear", OpDestroy: "destroy", OpSweep: "sweep",
	OpInterest: "interest", OpUninterest: "uninterest", OpTaskSubmit: "task_submit", OpTaskWait: "task_wait",
	OpTaskCancel: "task_cancel", OpTaskList: "task_list",
	OpMemberPing: "member_ping", OpMetaPropose: "meta_propose", OpMetaRead: "meta_read", OpMetaJoin: "meta_join",
}

// String returns the operation's name as it appears in spans, metrics and logs.
func (o Op) String() string {
	if n, ok := opNames[o]; ok {
		return n
	}
	return "op " + strconv.Itoa(int(o))
}

// Known reports whether this build knows the operation.
func (o Op) Known() bool { _, ok := opNames[o]; return ok }

// IsRead reports whether o reads one partition and changes nothing.
func (o Op) IsRead() bool { return o >= 16 && o < 32 }

// IsWrite reports whether o is a write of one partition that a client may ask for.
func (o Op) IsWrite() bool { return o >= 32 && o < 64 }

// ForClients reports whether o is accepted on the client port.
func (o Op) ForClients() bool { return o < 128 && o != OpSweep }
