package wire

// Administration of the cluster. Any member passes these operations on to the leader of the metadata group. They may be asked again.
const (
	OpDrainMember  Op = 88 // DrainBody -> LeavingResult; CodeConflict where nobody else could hold what the member holds
	OpRemoveMember Op = 89 // ForgetBody -> LeavingResult; CodeConflict where the member answers, or may hold data that nobody gives up
	OpRebalance    Op = 90 // RebalanceBody -> BalanceResult
	OpRecover      Op = 91 // RecoverBody -> RecoverResult: the member that is asked recovers a cluster that has lost its quorum
)

var adminOps = []Descriptor{
	// The first three only begin work that has not begun yet, so a copy does no harm. The caller of OpRecover repeats the call itself.
	{Op: OpDrainMember, Name: "drain_member", Kind: KindMember, Repeatable: true},
	{Op: OpRemoveMember, Name: "remove_member", Kind: KindMember, Repeatable: true},
	{Op: OpRebalance, Name: "rebalance", Kind: KindMember, Repeatable: true},
	{Op: OpRecover, Name: "recover", Kind: KindMember},
}

// Bodies and answers of the operations by which an operator changes the cluster. Later versions may append fields to each.

// DrainBody is the body of OpDrainMember: a member that is to hold nothing any more.
type DrainBody struct{ Member ID }

// AppendDrainBody appends b.
func AppendDrainBody(dst []byte, b DrainBody) []byte { return append(dst, b.Member[:]...) }

// DecodeDrainBody reads what AppendDrainBody wrote.
func DecodeDrainBody(b []byte) (DrainBody, error) {
	r := NewReader(b)
	v := DrainBody{Member: r.ID()}
	return v, r.Err()
}

// ForgetBody is the body of OpRemoveMember: a member that is to be forgotten.
type ForgetBody struct {
	Member ID
	Force  bool // remove the member even if it may hold data, which is given up
}

// AppendForgetBody appends b.
func AppendForgetBody(dst []byte, b ForgetBody) []byte {
	return appendFlags(append(dst, b.Member[:]...), b.Force)
}

// DecodeForgetBody reads what AppendForgetBody wrote.
func DecodeForgetBody(b []byte) (ForgetBody, error) {
	r := NewReader(b)
	v := ForgetBody{Member: r.ID(), Force: r.U8()&1 != 0}
	return v, r.Err()
}

// LeavingResult answers OpDrainMember and OpRemoveMember: what the member has left.
type LeavingResult struct {
	Done     bool   // the member holds nothing; if it was removed, it is forgotten
	Replicas uint32 // replicas that the table gives to the member
	Owned    uint32 // partitions that it owns
}

// AppendLeavingResult appends v.
func AppendLeavingResult(dst []byte, v LeavingResult) []byte {
	return AppendU32(AppendU32(appendFlags(dst, v.Done), v.Replicas), v.Owned)
}

// DecodeLeavingResult reads what AppendLeavingResult wrote.
func DecodeLeavingResult(b []byte) (LeavingResult, error) {
	r := NewReader(b)
	v := LeavingResult{Done: r.U8()&1 != 0, Replicas: r.U32(), Owned: r.U32()}
	return v, r.Err()
}

// RebalanceBody is the body of OpRebalance.
type RebalanceBody struct {
	Begin bool // make another plan; otherwise this only asks for the progress
}

// AppendRebalanceBody appends b.
func AppendRebalanceBody(dst []byte, b RebalanceBody) []byte { return appendFlags(dst, b.Begin) }

// DecodeRebalanceBody reads what AppendRebalanceBody wrote.
func DecodeRebalanceBody(b []byte) (RebalanceBody, error) {
	r := NewReader(b)
	v := RebalanceBody{Begin: r.U8()&1 != 0}
	return v, r.Err()
}

// BalanceResult answers OpRebalance.
type BalanceResult struct {
	Left uint32 // partitions that are not yet where a plan made now would put them

	// The least and the most of one of the members that may hold replicas.
	MinReplicas, MaxReplicas uint32
	MinOwned, MaxOwned       uint32
}

// AppendBalanceResult appends v.
func AppendBalanceResult(dst []byte, v BalanceResult) []byte {
	for _, n := range []uint32{v.Left, v.MinReplicas, v.MaxReplicas, v.MinOwned, v.MaxOwned} {
		dst = AppendU32(dst, n)
	}
	return dst
}

// DecodeBalanceResult reads what AppendBalanceResult wrote.
func DecodeBalanceResult(b []byte) (BalanceResult, error) {
	r := NewReader(b)
	v := BalanceResult{Left: r.U32(), MinReplicas: r.U32(), MaxReplicas: r.U32(), MinOwned: r.U32(), MaxOwned: r.U32()}
	return v, r.Err()
}

// RecoverBody is the body of OpRecover: the members that are lost for good, by their IDs or names.
type RecoverBody struct{ Lost []string }

// AppendRecoverBody appends b.
func AppendRecoverBody(dst []byte, b RecoverBody) []byte { return AppendStrings(dst, b.Lost) }

// DecodeRecoverBody reads what AppendRecoverBody wrote.
func DecodeRecoverBody(b []byte) (RecoverBody, error) {
	r := NewReader(b)
	v := RecoverBody{Lost: make([]string, r.Count(1))}
	for i := range v.Lost {
		v.Lost[i] = r.String()
	}
	return v, r.Err()
}

// RecoverResult answers OpRecover.
type RecoverResult struct {
	Done       bool
	Generation uint64 // of the metadata
	Wait       uint32 // how many milliseconds longer nobody must lead before the recovery; the caller asks again meanwhile
}

// AppendRecoverResult appends v.
func AppendRecoverResult(dst []byte, v RecoverResult) []byte {
	return AppendU32(AppendU64(appendFlags(dst, v.Done), v.Generation), v.Wait)
}

// DecodeRecoverResult reads what AppendRecoverResult wrote.
func DecodeRecoverResult(b []byte) (RecoverResult, error) {
	r := NewReader(b)
	v := RecoverResult{Done: r.U8()&1 != 0, Generation: r.U64(), Wait: r.U32()}
	return v, r.Err()
}

// AdminBody is the body of OpAdmin: an operation for clients that its sender passes on, with its body.
type AdminBody struct {
	Op   Op
	Body []byte // refers to what it was decoded from
}

// AppendAdminBody appends b.
func AppendAdminBody(dst []byte, b AdminBody) []byte {
	return append(append(dst, byte(b.Op)), b.Body...)
}

// DecodeAdminBody reads what AppendAdminBody wrote.
func DecodeAdminBody(b []byte) (AdminBody, error) {
	r := NewReader(b)
	v := AdminBody{Op: Op(r.U8())}
	if r.Err() == nil {
		v.Body = b[1:]
	}
	return v, r.Err()
}
