package sdk

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

type textNumber int

// MarshalMsgpack writes the number as a string.
func (n textNumber) MarshalMsgpack() ([]byte, error) { return []byte{0xa1, '0' + byte(n)}, nil }

type plainJSON struct{}

func (plainJSON) Name() string { return "json" }
func (plainJSON) Encode(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}
func (plainJSON) Decode(b []byte, v any) error { return json.Unmarshal(b, v) }

// An update keeps the entry's life unless its options say otherwise, and other options travel as they do with writes.
func TestUpdateOptionsOnTheWire(t *testing.T) {
	g := fakegrid.New(t, 3, 27)
	c := connected(t, g)
	m := opened[string, int](t, c, "m")
	ctx := t.Context()
	sent := make(chan wire.UpdateBody, 9)
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if u, err := wire.DecodeUpdateBody(req.Body); req.Op == wire.OpUpdate && err == nil {
			sent <- u
		}
		return fakegrid.Verdict{}
	})
	for i, o := range []struct {
		opts []WriteOption
		want wire.WriteFlags
	}{
		{nil, wire.WriteKeepTTL},
		{[]WriteOption{KeepTTL()}, wire.WriteKeepTTL},
		{[]WriteOption{WithTTL(time.Minute)}, wire.WriteTTL},
		{[]WriteOption{WithMaxIdle(time.Minute)}, wire.WriteMaxIdle},
	} {
		if n, err := Add(ctx, m, "k", 2, o.opts...); n != 2*(i+1) || err != nil {
			t.Fatalf("%d: %d, %v", i, n, err)
		}
		if u := <-sent; u.Flags != o.want || u.Processor != wire.ProcessIncrement {
			t.Errorf("%d: %+v", i, u)
		}
	}
	view, _, err := m.EntryView(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Add(ctx, m, "k", 1, IfVersion(view.Version+1)); !errors.Is(err, ErrConflict) {
		t.Errorf("another version: %v", err)
	}
}

// What cannot be updated where it stands is refused before anything is sent.
func TestUpdatesRefused(t *testing.T) {
	g := fakegrid.New(t, 3, 27)
	c := connected(t, g)
	ctx := t.Context()
	own := opened[string, textNumber](t, c, "m")
	if _, err := Add(ctx, own, "k", 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("a number that writes itself as a string: %v", err)
	}
	texts := opened[string, int](t, c, "m", WithCodec(plainJSON{}))
	if _, err := Add(ctx, texts, "k", 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("a number in JSON: %v", err)
	}
	bin := opened[string, []byte](t, c, "m", WithCodec(plainJSON{}))
	if _, err := Append(ctx, bin, "k", []byte("a")); !errors.Is(err, ErrInvalid) {
		t.Errorf("bytes in JSON: %v", err)
	}
	m := opened[string, any](t, c, "m")
	if _, err := MergeJSON(ctx, m, "k", make(chan int)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a patch without an encoding: %v", err)
	}
	if _, err := MergeJSON(ctx, m, "k", 1, IfVersion(0)); !errors.Is(err, ErrInvalid) {
		t.Errorf("IfVersion(0): %v", err)
	}
	if _, err := ExecuteOnKey[any](ctx, m, "k", "increment", make(chan int)); !errors.Is(err, ErrInvalid) {
		t.Errorf("an argument without an encoding: %v", err)
	}
	if n := len(g.Requests(wire.OpUpdate)) + len(g.Requests(wire.OpExecute)); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
