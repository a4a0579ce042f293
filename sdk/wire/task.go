package wire

// Operations on tasks, addressed to a member.
const (
	OpTaskSubmit Op = 82 // TaskBody -> empty; accepted. Repeating it under the same task ID has no further effect
	OpTaskWait   Op = 83 // TaskRef -> TaskResult; waits up to the call's deadline
	OpTaskCancel Op = 84 // TaskRef -> one byte, 1 if the task's context was ended by this call
	OpTaskList   Op = 85 // executor name -> []string
)

var taskOps = []Descriptor{
	{Op: OpTaskSubmit, Name: "task_submit", Kind: KindMember}, // repeated by its own ID, see the executor of the SDK
	{Op: OpTaskWait, Name: "task_wait", Kind: KindMember, Repeatable: true},
	{Op: OpTaskCancel, Name: "task_cancel", Kind: KindMember},
	{Op: OpTaskList, Name: "task_list", Kind: KindMember, Repeatable: true},
}

// MaxTaskName bounds the names of tasks and executors in bytes.
const MaxTaskName = 255

// TaskBody asks a member to run a task. A member that has accepted the ID answers a copy without running the task again.
type TaskBody struct {
	ID       ID
	Executor string
	Task     string
	Arg      []byte // msgpack
	Keyed    bool   // submitted to the owner of Key, under the request's partition
	Key      []byte // msgpack
	Attempt  uint32 // from 1
	Timeout  uint64 // milliseconds that the task may run; 0: without limit
}

// AppendTaskBody appends t.
func AppendTaskBody(dst []byte, t *TaskBody) []byte {
	dst = append(dst, t.ID[:]...)
	dst = AppendString(AppendString(dst, t.Executor), t.Task)
	dst = AppendBytes(dst, t.Arg)

	// A task without a key is another thing than one with an empty key.
	if t.Keyed {
		dst = AppendBytes(append(dst, 1), t.Key)
	} else {
		dst = append(dst, 0)
	}
	return AppendUvarint(AppendU32(dst, t.Attempt), t.Timeout)
}

// DecodeTaskBody reads what AppendTaskBody wrote. Arg and Key alias b.
func DecodeTaskBody(b []byte) (TaskBody, error) {
	r := NewReader(b)
	t := TaskBody{ID: r.ID(), Executor: r.String(), Task: r.String(), Arg: r.Bytes()}
	if t.Keyed = r.U8() != 0; t.Keyed {
		t.Key = r.Bytes()
	}
	t.Attempt, t.Timeout = r.U32(), r.Uvarint()

	if len(t.Executor) > MaxTaskName || len(t.Task) > MaxTaskName {
		r.Fail("a name of more than %d bytes", MaxTaskName)
	}
	return t, r.Done()
}

// TaskRef names a task that was submitted to the member asked.
type TaskRef struct{ ID ID }

// AppendTaskRef appends t.
func AppendTaskRef(dst []byte, t TaskRef) []byte { return append(dst, t.ID[:]...) }

// DecodeTaskRef reads what AppendTaskRef wrote.
func DecodeTaskRef(b []byte) (TaskRef, error) {
	r := NewReader(b)
	t := TaskRef{ID: r.ID()}
	return t, r.Done()
}

// TaskResult answers OpTaskWait.
type TaskResult struct {
	Done     bool   // false: still running when the call's time was up; ask again
	Code     Code   // CodeOK, CodeTaskFailed, CodeCancelled, CodeTimeout, CodeUnknownTask, …
	Message  string // the error's text
	Sentinel Code   // the wire code of a sentinel that the task's error wraps; CodeOK if none
	Value    []byte // msgpack
}

// AppendTaskResult appends t.
func AppendTaskResult(dst []byte, t *TaskResult) []byte {
	if t.Done {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	dst = AppendU16(AppendU16(dst, uint16(t.Code)), uint16(t.Sentinel))
	return AppendBytes(AppendString(dst, t.Message), t.Value)
}

// DecodeTaskResult reads what AppendTaskResult wrote. Value aliases b.
func DecodeTaskResult(b []byte) (TaskResult, error) {
	r := NewReader(b)
	t := TaskResult{Done: r.U8() != 0, Code: Code(r.U16()), Sentinel: Code(r.U16()), Message: r.String(), Value: r.Bytes()}
	return t, r.Done()
}

// AppendStrings appends a list of texts.
func AppendStrings(dst []byte, list []string) []byte {
	dst = AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = AppendString(dst, s)
	}
	return dst
}

// DecodeStrings reads what AppendStrings wrote.
func DecodeStrings(b []byte) ([]string, error) {
	r := NewReader(b)
	list := make([]string, r.Count(1))
	for i := range list {
		list[i] = r.String()
	}
	return list, r.Done()
}
