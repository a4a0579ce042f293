package wire

import "fmt"

// Entry processors.
const (
	// OpUpdate carries out a built-in processor: UpdateBody -> WriteResult, whose value is the processor's result.
	OpUpdate Op = 53
	// OpExecute carries out the processor of a name: ExecuteBody -> WriteResult, whose value is the processor's result. In the log it is an
	// OpUpdate.
	OpExecute Op = 54
)

var processorOps = []Descriptor{
	{Op: OpUpdate, Name: "update", Kind: KindWrite, Repeatable: true, Check: checkUpdateBody, WithOptions: updateWithOptions, writes: writesKey},
	{Op: OpExecute, Name: "execute_on_key", Kind: KindWrite, Repeatable: true, Check: checkExecuteBody, writes: writesKey},
}

// Processor is a built-in entry processor. Replicas carry it out, so a number is never given a second meaning.
type Processor uint8

// The built-in processors. Package update says what they do.
const (
	ProcessIncrement     Processor = 1
	ProcessAppend        Processor = 2
	ProcessMerge         Processor = 3
	ProcessListPush      Processor = 4
	ProcessSetAdd        Processor = 5
	ProcessCompareAndSet Processor = 6
)

// processorNames are the names under which callers know the built-in processors.
var processorNames = []struct {
	name string
	p    Processor
}{
	{"increment", ProcessIncrement}, {"append", ProcessAppend}, {"json-merge", ProcessMerge}, {"json-set", ProcessMerge},
	{"list-push", ProcessListPush}, {"set-add", ProcessSetAdd}, {"compare-and-set", ProcessCompareAndSet},
}

// ProcessorOf returns the built-in processor of a name, and whether there is one.
func ProcessorOf(name string) (Processor, bool) {
	for _, known := range processorNames {
		if known.name == name {
			return known.p, true
		}
	}
	return 0, false
}

// UpdateBody is the body of OpUpdate.
type UpdateBody struct {
	Map []byte
	Key []byte
	WriteOptions
	Processor Processor
	// Most is how many bytes the new value may have. The owner says so, who knows what its member is configured for; 0 is MaxValueHard.
	Most uint64
	Arg  []byte // the argument's encoding
}

// AppendUpdateBody appends u.
func AppendUpdateBody(dst []byte, u *UpdateBody) []byte {
	dst = AppendBytes(AppendBytes(dst, u.Map), u.Key)
	dst = u.WriteOptions.append(dst)
	dst = AppendUvarint(append(dst, byte(u.Processor)), u.Most)
	return AppendBytes(dst, u.Arg)
}

// DecodeUpdateBody reads what AppendUpdateBody wrote. All slices alias b.
func DecodeUpdateBody(b []byte) (u UpdateBody, err error) {
	r := NewReader(b)
	u.Map, u.Key = r.Bytes(), r.Bytes()
	u.WriteOptions.decode(&r)
	// The values of a plain write have no place here.
	if u.Flags&(WriteValue|WriteExpect) != 0 {
		r.Fail("a processor with a value beside its argument")
	}

	u.Processor, u.Most, u.Arg = Processor(r.U8()), r.Uvarint(), r.Bytes()
	if err := r.Done(); err != nil {
		return UpdateBody{}, err
	}
	if err := checkArg(u.Map, u.Key, u.Arg); err != nil {
		return UpdateBody{}, err
	}
	if u.Flags&WriteVersion != 0 && u.IfVersion == 0 {
		return UpdateBody{}, fmt.Errorf("%w: IfVersion(0)", ErrMalformed)
	}
	return u, nil
}

// checkArg checks what all processors are told.
func checkArg(name, key, arg []byte) error {
	if err := CheckMapName(name); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if len(arg) > MaxValueHard {
		return fmt.Errorf("%w: an argument of %d bytes, the limit is %d", ErrTooLarge, len(arg), MaxValueHard)
	}
	return nil
}

func checkUpdateBody(_ Op, body []byte) (Contents, error) {
	u, err := DecodeUpdateBody(body)
	return Contents{Map: u.Map, Options: u.WriteOptions, Values: 1, Largest: len(u.Arg)}, err
}

func updateWithOptions(dst, body []byte, o *WriteOptions) ([]byte, error) {
	u, err := DecodeUpdateBody(body)
	u.WriteOptions = *o
	return AppendUpdateBody(dst, &u), err
}

// ExecuteBody is the body of OpExecute.
type ExecuteBody struct {
	Map  []byte
	Key  []byte
	Name string // of the processor
	Arg  []byte // the argument's encoding
}

// AppendExecuteBody appends e.
func AppendExecuteBody(dst []byte, e *ExecuteBody) []byte {
	dst = AppendBytes(AppendBytes(dst, e.Map), e.Key)
	return AppendBytes(AppendString(dst, e.Name), e.Arg)
}

// DecodeExecuteBody reads what AppendExecuteBody wrote. All slices alias b.
func DecodeExecuteBody(b []byte) (e ExecuteBody, err error) {
	r := NewReader(b)
	e = ExecuteBody{Map: r.Bytes(), Key: r.Bytes(), Name: r.String(), Arg: r.Bytes()}
	if err := r.Done(); err != nil {
		return ExecuteBody{}, err
	}
	if e.Name == "" || len(e.Name) > MaxTaskName {
		return ExecuteBody{}, fmt.Errorf("%w: a processor's name of %d bytes, from 1 to %d are allowed", ErrMalformed, len(e.Name), MaxTaskName)
	}
	return e, checkArg(e.Map, e.Key, e.Arg)
}

func checkExecuteBody(_ Op, body []byte) (Contents, error) {
	e, err := DecodeExecuteBody(body)
	return Contents{Map: e.Map}, err
}
