package wire

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// opTests is every operation: its number and name for good, and where it is accepted.
var opTests = []struct {
	op                  Op
	code                uint8
	name                string
	client, read, write bool
}{
	{OpPing, 1, "ping", true, false, false},
	{OpTable, 2, "table", true, false, false},
	{OpStatus, 3, "status", true, false, false},
	{OpPartitions, 4, "partitions", true, false, false},
	{OpMaps, 5, "maps", true, false, false},
	{OpMapStats, 6, "map_stats", true, false, false},
	{OpGet, 16, "get", true, true, false},
	{OpContains, 17, "contains_key", true, true, false},
	{OpGetMany, 18, "get_all", true, true, false},
	{OpSize, 19, "size", true, true, false},
	{OpScan, 20, "scan", true, true, false},
	{OpEvents, 21, "events", true, true, false},
	{OpEntryView, 22, "entry_view", true, true, false},
	{OpIsLocked, 23, "is_locked", true, true, false},
	{OpSet, 32, "set", true, false, true},
	{OpPut, 33, "put", true, false, true},
	{OpPutIfAbsent, 34, "put_if_absent", true, false, true},
	{OpReplace, 35, "replace", true, false, true},
	{OpReplaceIfSame, 36, "replace_if_same", true, false, true},
	{OpRemove, 37, "remove", true, false, true},
	{OpRemoveIfSame, 38, "remove_if_same", true, false, true},
	{OpDelete, 39, "delete", true, false, true},
	{OpSetTTL, 40, "set_ttl", true, false, true},
	{OpEvict, 41, "evict", true, false, true},
	{OpSetMany, 42, "set_all", true, false, true},
	{OpDeleteMany, 43, "delete_all", true, false, true},
	{OpClear, 44, "clear", true, false, true},
	{OpDestroy, 45, "destroy", true, false, true},
	{OpLock, 46, "lock", true, false, true},
	{OpUnlock, 47, "unlock", true, false, true},
	{OpRenew, 48, "renew_lock", true, false, true},
	{OpForceUnlock, 49, "force_unlock", true, false, true},
	{OpLoad, 50, "load", true, false, true},
	{OpLoaded, 51, "loaded", true, false, true},
	{OpRemoveAll, 52, "remove_all", true, false, true},
	{OpUpdate, 53, "update", true, false, true},
	{OpExecute, 54, "execute_on_key", true, false, true},
	{OpSweep, 64, "sweep", false, false, false},
	{OpEvictMany, 65, "evict_many", false, false, false},
	{OpTouch, 66, "touch", false, false, false},
	{OpBoundRing, 68, "bound_ring", false, false, false},
	{OpResume, 67, "resume", false, false, false},
	{OpInterest, 80, "interest", true, false, false},
	{OpUninterest, 81, "uninterest", true, false, false},
	{OpTaskSubmit, 82, "task_submit", true, false, false},
	{OpTaskWait, 83, "task_wait", true, false, false},
	{OpTaskCancel, 84, "task_cancel", true, false, false},
	{OpTaskList, 85, "task_list", true, false, false},
	{OpSetMapConfig, 86, "set_map_config", true, false, false},
	{OpMapConfigs, 87, "map_configs", true, false, false},
	{OpDrainMember, 88, "drain_member", true, false, false},
	{OpRemoveMember, 89, "remove_member", true, false, false},
	{OpRebalance, 90, "rebalance", true, false, false},
	{OpRecover, 91, "recover", true, false, false},
	{OpMemberPing, 128, "member_ping", false, false, false},
	{OpMetaPropose, 129, "meta_propose", false, false, false},
	{OpMetaRead, 130, "meta_read", false, false, false},
	{OpMetaJoin, 131, "meta_join", false, false, false},
	{OpMemberDown, 132, "member_down", false, false, false},
	{OpReplica, 133, "replica", false, false, false},
	{OpMetaCaughtUp, 134, "meta_caught_up", false, false, false},
	{OpMetaLeave, 135, "meta_leave", false, false, false},
	{OpMetaLead, 136, "meta_lead", false, false, false},
	{OpAdmin, 160, "admin", false, false, false},
}

func TestOps(t *testing.T) {
	byCode := make(map[Op]int)
	names := make(map[string]Op)
	for i, c := range opTests {
		if uint8(c.op) != c.code {
			t.Errorf("%s is operation %d, in the protocol it is %d", c.name, c.op, c.code)
		}
		if other, taken := names[c.name]; taken {
			t.Errorf("operations %d and %d are both called %s", other, c.op, c.name)
		}
		byCode[c.op], names[c.name] = i, c.op
	}
	for i := range 256 {
		op := Op(i)
		want := opTests[0]
		at, known := byCode[op]
		if known {
			want = opTests[at]
		} else {
			want.name, want.client = "op "+strconv.Itoa(i), false
		}
		if op.Known() != known || op.String() != want.name || op.ForClients() != want.client || op.IsRead() != want.read || op.IsWrite() != want.write {
			t.Errorf("operation %d: known %v, name %q, for clients %v, read %v, write %v", i, op.Known(), op, op.ForClients(), op.IsRead(), op.IsWrite())
		}
		if op >= 128 && op.ForClients() {
			t.Errorf("operation %d is for clients", i)
		}
	}
}

// constants returns the names of the constants of a type in one of the package's files.
func constants(t *testing.T, file, typeName string) (names []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.ValueSpec); ok {
			if typ, ok := s.Type.(*ast.Ident); ok && typ.Name == typeName {
				for _, name := range s.Names {
					names = append(names, name.Name)
				}
			}
		}
		return true
	})
	return names
}

// Every constant is in the tables: one that is added without a name or a kind shows here.
func TestOpsAndCodesAreComplete(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			names = append(names, constants(t, file, "Op")...)
		}
	}
	if len(names) != len(opTests) {
		t.Errorf("%d operations are declared, %d are tested: %v", len(names), len(opTests), names)
	}
	if names := constants(t, "code.go", "Code"); len(names) != len(codeNames) {
		t.Errorf("%d codes are declared, %d have names: %v", len(names), len(codeNames), names)
	}
}

func TestCodes(t *testing.T) {
	golden := []struct {
		code Code
		name string
	}{
		{CodeOK, "OK"}, {CodeMoved, "MOVED"}, {CodeNotReady, "NOT_READY"}, {CodeConflict, "CONFLICT"}, {CodeTimeout, "TIMEOUT"},
		{CodeUnknown, "UNKNOWN_OUTCOME"}, {CodeUnavailable, "UNAVAILABLE"}, {CodeOverloaded, "OVERLOADED"}, {CodeNotFound, "NOT_FOUND"},
		{CodeUnauthenticated, "UNAUTHENTICATED"}, {CodeForbidden, "FORBIDDEN"}, {CodeTooLarge, "TOO_LARGE"}, {CodeInvalid, "INVALID"},
		{CodeLockNotHeld, "LOCK_NOT_HELD"}, {CodeFenced, "FENCED"}, {CodeUnknownTask, "UNKNOWN_TASK"}, {CodeUnknownProcessor, "UNKNOWN_PROCESSOR"},
		{CodeRejected, "REJECTED"}, {CodeMemberLeft, "MEMBER_LEFT"}, {CodeCancelled, "CANCELLED"}, {CodeEventsLost, "EVENTS_LOST"},
		{CodeExpired, "EXPIRED"}, {CodeStale, "STALE"}, {CodeTaskFailed, "TASK_FAILED"}, {CodeClosed, "CLOSED"}, {CodeInternal, "INTERNAL"},
	}
	if len(golden) != len(codeNames) {
		t.Errorf("%d codes are tested, %d have names", len(golden), len(codeNames))
	}
	seen := make(map[string]bool)
	for i, c := range golden {
		if int(c.code) != i || c.code.String() != c.name || seen[c.name] || !regexp.MustCompile(`^[A-Z][A-Z_]+$`).MatchString(c.name) {
			t.Errorf("code %d is %d, %q", i, c.code, c.code)
		}
		seen[c.name] = true
	}
	for _, c := range []Code{Code(len(codeNames)), 0xffff} {
		if got, want := c.String(), "code "+strconv.Itoa(int(c)); got != want {
			t.Errorf("an unknown code is called %q, want %q", got, want)
		}
	}
}

// Each operation is described once, in full, at its own code.
func TestDescriptors(t *testing.T) {
	repeatable := map[Op]bool{
		OpPing: true, OpTable: true, OpStatus: true, OpPartitions: true, OpMaps: true, OpMapStats: true, OpTaskList: true, OpTaskWait: true,
		OpMapConfigs: true, OpSetMapConfig: true, OpDrainMember: true, OpRemoveMember: true, OpRebalance: true,
	}
	stores := map[Op]bool{
		OpSet: true, OpPut: true, OpPutIfAbsent: true, OpReplace: true, OpReplaceIfSame: true, OpSetMany: true, OpLoaded: true, OpUpdate: true,
	}
	parks := map[Op]bool{OpLock: true, OpRenew: true, OpLoad: true}
	for i := range 256 {
		op := Op(i)
		d := op.Descriptor()
		if d.Kind == KindUnknown {
			continue
		}
		if d.Op != op || d.Name == "" {
			t.Errorf("the descriptor of operation %d is that of %d, %q", i, d.Op, d.Name)
		}
		if partitioned := op.IsRead() || op.IsWrite(); partitioned != (d.Check != nil) {
			t.Errorf("%v: kind %d, has a check: %v", op, d.Kind, d.Check != nil)
		}
		if want := op.IsRead() || op.IsWrite() || repeatable[op]; op.Repeatable() != want {
			t.Errorf("%v: repeatable %v, want %v", op, op.Repeatable(), want)
		}
		if d.StoresValues() != stores[op] || d.Parks != parks[op] {
			t.Errorf("%v: stores values %v, parks %v", op, d.StoresValues(), d.Parks)
		}
	}

	defer func() {
		if recover() == nil {
			t.Error("an operation that is described twice was not noticed")
		}
	}()
	described(readOps, readOps[:1])
}

// What Check says of a body is what stands in it, and WithOptions changes nothing but the options.
func TestContents(t *testing.T) {
	options := WriteOptions{Flags: WriteTTL, TTL: 7}
	write := func(value, expected []byte) []byte {
		return AppendWriteBody(nil, &WriteBody{Map: []byte("m"), Key: []byte("k"), WriteOptions: options, Value: value, Expected: expected})
	}
	many := func(values ...[]byte) []byte {
		return AppendManyBody(nil, &ManyBody{Map: []byte("m"), WriteOptions: options, Keys: [][]byte{{1}, {2}}, Values: values})
	}
	loaded := func(fence uint64, o WriteOptions, value []byte) []byte {
		return AppendLoadedBody(nil, &LoadedBody{Map: []byte("m"), Key: []byte("k"), ID: ID{1}, Fence: fence, WriteOptions: o, Value: value})
	}
	for _, c := range []struct {
		op   Op
		body []byte
		want Contents
	}{
		{OpSet, write([]byte("value"), nil), Contents{Values: 1, Largest: 5}},
		{OpReplaceIfSame, write([]byte("value"), []byte("something longer")), Contents{Values: 1, Largest: 5}},
		{OpSetTTL, write(nil, nil), Contents{}},
		{OpSetMany, many([]byte("a"), []byte("abc")), Contents{Keys: 2, Values: 2, Largest: 3}},
		{OpDeleteMany, many(), Contents{Keys: 2}},
		{OpLoaded, loaded(9, options, []byte("ab")), Contents{Values: 1, Largest: 2}},
		{OpLoaded, loaded(0, WriteOptions{}, nil), Contents{}},
		{OpUpdate, AppendUpdateBody(nil, &UpdateBody{Map: []byte("m"), Key: []byte("k"), WriteOptions: options, Processor: ProcessAppend, Most: 9, Arg: []byte("ab")}), Contents{Values: 1, Largest: 2}},
		{OpExecute, AppendExecuteBody(nil, &ExecuteBody{Map: []byte("m"), Key: []byte("k"), Name: "p", Arg: []byte("ab")}), Contents{}},
		{OpClear, AppendMapBody(nil, "m"), Contents{}},
		{OpGetMany, AppendKeysBody(nil, "m", [][]byte{{1}, {2}, {3}}), Contents{Keys: 3}},
	} {
		in, err := c.op.Descriptor().Check(c.op, c.body)
		if err != nil || string(in.Map) != "m" || in.Keys != c.want.Keys || in.Values != c.want.Values || in.Largest != c.want.Largest {
			t.Errorf("%v: %+v, %v", c.op, in, err)
		}
		if d := c.op.Descriptor(); in.Values > 0 {
			same, err := d.WithOptions(nil, c.body, &in.Options)
			if err != nil || !bytes.Equal(same, c.body) {
				t.Errorf("%v with the options that it has: %x, %v, want %x", c.op, same, err, c.body)
			}
			in.Options.MaxIdle, in.Options.Flags = 8, in.Options.Flags|WriteMaxIdle
			other, _ := d.WithOptions(nil, c.body, &in.Options)
			if again, err := d.Check(c.op, other); err != nil || again.Options != in.Options {
				t.Errorf("%v with other options: %+v, %v", c.op, again, err)
			}
		}
	}
}
