package wire

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

var processorFormats = []*format{
	formatOf("UpdateBody", pointed(AppendUpdateBody), DecodeUpdateBody,
		func(t *rapid.T) UpdateBody {
			u := UpdateBody{Map: drawMapName(t), Key: drawSome(t, "key"), Processor: Processor(rapid.Byte().Draw(t, "processor")), Most: drawU64(t, "most"), Arg: drawSome(t, "arg")}
			if rapid.Bool().Draw(t, "ttl") {
				u.Flags, u.TTL = WriteTTL, drawU64(t, "ttl")
			}
			return u
		},
		golden{"01 6d 02 a161 04 01 8008 01 05", UpdateBody{Map: []byte("m"), Key: []byte("\xa1a"), WriteOptions: WriteOptions{Flags: WriteKeepTTL}, Processor: ProcessIncrement, Most: 1024, Arg: []byte{5}}},
		golden{"01 6d 02 a161 09 07 0000000000000009 03 00 02 a162", UpdateBody{Map: []byte("m"), Key: []byte("\xa1a"),
			WriteOptions: WriteOptions{Flags: WriteTTL | WriteVersion, TTL: 7, IfVersion: 9}, Processor: ProcessMerge, Arg: []byte("\xa1b")}}),
	formatOf("ExecuteBody", pointed(AppendExecuteBody), DecodeExecuteBody,
		func(t *rapid.T) ExecuteBody {
			return ExecuteBody{drawMapName(t), drawSome(t, "key"), rapid.StringN(1, 20, MaxTaskName).Draw(t, "name"), drawSome(t, "arg")}
		},
		golden{"01 6d 02 a161 03 616464 01 05", ExecuteBody{[]byte("m"), []byte("\xa1a"), "add", []byte{5}}}),
}

func TestProcessorFormats(t *testing.T) { testFormats(t, processorFormats) }

func FuzzProcessorFormats(f *testing.F) { fuzzFormats(f, processorFormats) }

// The numbers of processors stand in logs.
func TestProcessors(t *testing.T) {
	for name, number := range map[string]uint8{"increment": 1, "append": 2, "json-merge": 3, "json-set": 3, "list-push": 4, "set-add": 5, "compare-and-set": 6} {
		if p, known := ProcessorOf(name); !known || uint8(p) != number {
			t.Errorf("%s is processor %d, in the protocol it is %d", name, p, number)
		}
	}
	if p, known := ProcessorOf("Increment"); known {
		t.Errorf("a processor without a number is %d", p)
	}
	if len(processorNames) != 7 {
		t.Errorf("%d names of processors, 7 are tested", len(processorNames))
	}
}

// What a processor is told is checked before it stands in the log.
func TestProcessorBodiesRefuse(t *testing.T) {
	m, k := []byte("m"), []byte("k")
	for name, c := range map[string]struct {
		body UpdateBody
		want error
	}{
		"no map":          {UpdateBody{Key: k}, ErrMalformed},
		"no key":          {UpdateBody{Map: m}, ErrMalformed},
		"a value":         {UpdateBody{Map: m, Key: k, WriteOptions: WriteOptions{Flags: WriteValue}}, ErrMalformed},
		"IfVersion(0)":    {UpdateBody{Map: m, Key: k, WriteOptions: WriteOptions{Flags: WriteVersion}}, ErrMalformed},
		"a long key":      {UpdateBody{Map: m, Key: bytes.Repeat(k, MaxKey+1)}, ErrTooLarge},
		"a long argument": {UpdateBody{Map: m, Key: k, Arg: bytes.Repeat(k, MaxValueHard+1)}, ErrTooLarge},
	} {
		if _, err := checkUpdateBody(OpUpdate, AppendUpdateBody(nil, &c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for name, body := range map[string]ExecuteBody{
		"no map": {Key: k, Name: "p"}, "no key": {Map: m, Name: "p"}, "no name": {Map: m, Key: k},
		"a long name": {Map: m, Key: k, Name: string(bytes.Repeat(k, MaxTaskName+1))},
	} {
		if _, err := checkExecuteBody(OpExecute, AppendExecuteBody(nil, &body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A near cache drops the copy of the key that a processor was carried out on, and no other.
func TestProcessorsWriteTheirKey(t *testing.T) {
	for op, body := range map[Op][]byte{
		OpUpdate:  AppendUpdateBody(nil, &UpdateBody{Map: []byte("m"), Key: []byte("k"), Processor: ProcessIncrement, Arg: []byte{1}}),
		OpExecute: AppendExecuteBody(nil, &ExecuteBody{Map: []byte("m"), Key: []byte("k"), Name: "increment", Arg: []byte{1}}),
	} {
		var keys []string
		if one := op.EachWritten(body, func(key []byte) { keys = append(keys, string(key)) }); !one || len(keys) != 1 || keys[0] != "k" {
			t.Errorf("%s writes %q, %v", op, keys, one)
		}
	}
}
