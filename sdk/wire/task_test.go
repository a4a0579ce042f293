package wire

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawTaskBody(t *rapid.T) TaskBody {
	name := rapid.StringN(0, 60, MaxTaskName)
	b := TaskBody{ID: drawID(t, "id"), Executor: name.Draw(t, "executor"), Task: name.Draw(t, "task"), Arg: drawBytes(t, "arg"),
		Attempt: drawU32(t, "attempt"), Timeout: drawU64(t, "timeout")}
	if b.Keyed = drawBool(t, "keyed"); b.Keyed {
		b.Key = drawBytes(t, "key")
	}
	return b
}

var taskFormats = []*format{
	formatOf("TaskBody", pointed(AppendTaskBody), DecodeTaskBody, drawTaskBody,
		golden{"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 02 6578 04 6563686f 02 a178 01 01 07 00000002 ac02", TaskBody{ID: testID(0xa0), Executor: "ex", Task: "echo",
			Arg: []byte("\xa1x"), Keyed: true, Key: []byte{7}, Attempt: 2, Timeout: 300}},
		golden{"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 02 6578 04 6563686f 00 00 00000001 00", TaskBody{ID: testID(0xa0), Executor: "ex", Task: "echo", Attempt: 1}}),
	formatOf("TaskRef", AppendTaskRef, DecodeTaskRef, func(t *rapid.T) TaskRef { return TaskRef{drawID(t, "id")} },
		golden{"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", TaskRef{testID(0xa0)}}),
	formatOf("TaskResult", pointed(AppendTaskResult), DecodeTaskResult,
		func(t *rapid.T) TaskResult {
			return TaskResult{drawBool(t, "done"), drawCode(t, "code"), drawString(t, "message"), drawCode(t, "sentinel"), drawBytes(t, "value")}
		},
		golden{"01 0017 0003 02 6e6f 00", TaskResult{Done: true, Code: CodeTaskFailed, Message: "no", Sentinel: CodeConflict}},
		golden{"01 0000 0000 00 02 a178", TaskResult{Done: true, Value: []byte("\xa1x")}},
		golden{"00 0000 0000 00 00", TaskResult{}}),
	formatOf("Strings", AppendStrings, DecodeStrings, func(t *rapid.T) []string { return drawList(t, "text", 10, drawString) },
		golden{"02 04 6563686f 00", []string{"echo", ""}}, golden{"00", []string{}}),
}

func TestTaskFormats(t *testing.T) { testFormats(t, taskFormats) }

func FuzzTaskFormats(f *testing.F) { fuzzFormats(f, taskFormats) }

func TestTaskFormatsAllocateByWhatIsThere(t *testing.T) {
	taskFormats[3].testList(t, nil, []byte{0}, nil)
}

func TestTaskBodyRefuses(t *testing.T) {
	longest := strings.Repeat("x", MaxTaskName)
	if _, err := DecodeTaskBody(AppendTaskBody(nil, &TaskBody{Executor: longest, Task: longest})); err != nil {
		t.Errorf("the longest names: %v", err)
	}
	for name, b := range map[string]TaskBody{
		"long executor":  {Executor: longest + "x"},
		"long task":      {Task: longest + "x"},
		"executor's UTF": {Executor: "\xff"},
		"task's UTF":     {Task: "\xff"},
	} {
		if back, err := DecodeTaskBody(AppendTaskBody(nil, &b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v, want ErrMalformed", name, back, err)
		}
	}
	if r, err := DecodeTaskResult(AppendTaskResult(nil, &TaskResult{Message: "\xff"})); !errors.Is(err, ErrMalformed) {
		t.Errorf("a message that is not UTF-8: %+v, %v, want ErrMalformed", r, err)
	}
	if list, err := DecodeStrings(AppendStrings(nil, []string{"a", "\xff"})); !errors.Is(err, ErrMalformed) {
		t.Errorf("a text that is not UTF-8: %q, %v, want ErrMalformed", list, err)
	}
}
