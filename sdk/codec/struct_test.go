package codec

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"
)

type base struct {
	ID   int
	Kind string
}

type Mixin struct{ Extra, ID int }

type tree struct {
	Name  string  `msgpack:"n"`
	Kids  []*tree `msgpack:"k,omitempty"`
	Index map[string]*tree
}

func TestStructFields(t *testing.T) {
	type withPointer struct {
		*Mixin
		Own int
	}
	negative := math.Copysign(0, -1)
	for _, c := range []struct {
		name string
		v    any
		want any // encodes to the same bytes
	}{
		{"msgpack tag over json tag over name", struct {
			A int `msgpack:"one" json:"uno"`
			B int `json:"two"`
			C int
		}{1, 2, 3}, map[string]int{"one": 1, "two": 2, "C": 3}},
		{"hidden", struct {
			A int `msgpack:"-"`
			B int `json:"-"`
			//lint:ignore SA5008 it is how a field is named "-"
			C int `json:"-,"`
			D int `msgpack:"-" json:"d"`
			E int `msgpack:"e" json:"-"`
			f int
		}{1, 2, 3, 4, 5, 6}, map[string]int{"-": 3, "e": 5}},
		{"omitempty", struct {
			A int            `msgpack:",omitempty"`
			B string         `json:"b,omitempty"`
			C []int          `msgpack:",omitempty"`
			D map[string]int `msgpack:",omitempty"`
			E *int           `msgpack:",omitempty"`
			F any            `msgpack:",omitempty"`
			G time.Time      `msgpack:",omitempty"`
			H base           `msgpack:",omitempty"`
			I float64        `msgpack:",omitempty"`
			J bool           `msgpack:",omitempty"`
			K int            `msgpack:",omitempty"`
		}{C: []int{}, D: map[string]int{}, I: negative, K: 1}, map[string]any{"I": negative, "K": 1}},
		{"omitzero", struct {
			A int   `json:",omitzero"`
			B []int `json:",omitzero"`
			C []int `json:",omitzero"`
		}{B: []int{}}, map[string]any{"B": []int{}}},
		{"omitempty for all", struct {
			_msgpack struct{} `msgpack:",omitempty"`
			A, B     int
		}{A: 1}, map[string]int{"A": 1}},
		{"as array", struct {
			_msgpack struct{} `msgpack:",as_array"`
			Z        int
			A        string `msgpack:",omitempty"`
			base
		}{Z: 1, base: base{2, "k"}}, []any{1, "", 2, "k"}},
		{"embedded", struct {
			base
			Own int
		}{base{1, "k"}, 2}, map[string]any{"ID": 1, "Kind": "k", "Own": 2}},
		{"the outer field wins", struct {
			ID int
			base
		}{1, base{2, "k"}}, map[string]any{"ID": 1, "Kind": "k"}},
		{"embedded with a json name", struct {
			Mixin `json:"mixin"`
		}{Mixin{1, 2}}, map[string]any{"mixin": map[string]int{"Extra": 1, "ID": 2}}},
		{"embedded with noinline", struct {
			Mixin `msgpack:",noinline"`
		}{Mixin{1, 2}}, map[string]any{"Mixin": map[string]int{"Extra": 1, "ID": 2}}},
		{"embedded pointer", withPointer{&Mixin{1, 2}, 3}, map[string]int{"Extra": 1, "ID": 2, "Own": 3}},
		{"embedded nil pointer", withPointer{nil, 3}, map[string]int{"Own": 3}},
		{"embedded time", struct {
			N         int
			time.Time `msgpack:",noinline"`
		}{}.Time, time.Time{}},
		{"recursive", tree{"a", []*tree{{Name: "b"}, nil}, map[string]*tree{"x": nil}}, map[string]any{
			"n": "a", "k": []any{map[string]any{"n": "b", "Index": nil}, nil}, "Index": map[string]any{"x": nil}}},
		{"error field", struct{ E, N error }{E: errors.New("no")}, map[string]any{"E": "no", "N": nil}},
		{"interface field", struct{ W interface{ Len() int } }{bytes.NewBufferString("")}, map[string]any{"W": map[string]any{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, want := mustEncode(t, c.v), mustEncode(t, c.want)
			if !bytes.Equal(got, want) {
				var plain any
				err := (Msgpack{}).Decode(got, &plain)
				t.Fatalf("encodes as %v (%v), want %v", plain, err, c.want)
			}
			if c.name == "interface field" {
				return // nothing says what to decode it into
			}
			back := reflect.New(reflect.TypeOf(c.v))
			if err := (Msgpack{}).Decode(got, back.Interface()); err != nil {
				t.Fatal(err)
			}
			if again := mustEncode(t, back.Elem().Interface()); !bytes.Equal(again, got) {
				t.Fatalf("what was decoded encodes as %x, not as %x", again, got)
			}
		})
	}
}

func TestStructDecode(t *testing.T) {
	type renamed struct {
		New string `msgpack:"new,alias:old,alias:older"`
		A   int
	}
	for _, stored := range []map[string]any{
		{"new": "x", "A": 1},
		{"old": "x", "A": 1},
		{"older": "x", "A": 1, "unknown": []any{map[string]any{"deep": 1}}, "": 1, "zzzzz": "more"},
	} {
		var got renamed
		if err := (Msgpack{}).Decode(mustEncode(t, stored), &got); err != nil || got != (renamed{"x", 1}) {
			t.Errorf("%v decodes as %+v, %v", stored, got, err)
		}
	}
	if got, want := mustEncode(t, renamed{"x", 1}), mustEncode(t, map[string]any{"new": "x", "A": 1}); !bytes.Equal(got, want) {
		t.Errorf("an alias is written: %x, want %x", got, want)
	}
	// Fields that the bytes lack are zero, and so is what an embedded pointer lacks.
	var got struct {
		*Mixin
		Name string
	}
	if err := (Msgpack{}).Decode(mustEncode(t, map[string]int{"Extra": 5}), &got); err != nil || got.Mixin == nil || *got.Mixin != (Mixin{5, 0}) {
		t.Errorf("got %+v, %v", got, err)
	}
	var exact struct{ Name string }
	if err := (Msgpack{}).Decode(mustEncode(t, map[string]string{"name": "x"}), &exact); err != nil || exact.Name != "" {
		t.Errorf("a field is found in another case: %+v, %v", exact, err)
	}
}

func TestStructRefused(t *testing.T) {
	type hidden struct{ A int }
	for name, v := range map[string]any{
		"embedded pointer to an unexported struct": &struct{ *hidden }{},
		"two embedded fields of one name": &struct {
			base
			Mixin
		}{},
	} {
		if _, err := (Msgpack{}).Encode(nil, v); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: Encode: %v, want ErrUnsupported", name, err)
		}
		if err := (Msgpack{}).Decode([]byte{0x80}, v); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: Decode: %v, want ErrUnsupported", name, err)
		}
	}
}

// Types that contain each other are planned by many goroutines at once: each sees complete plans only.
func TestPlansAreBuiltConcurrently(t *testing.T) {
	type leaf struct{ V map[string][]*tree }
	type branch struct {
		L leaf
		B *branch
	}
	v := branch{leaf{map[string][]*tree{"a": {{Name: "x"}}}}, &branch{}}
	start := make(chan struct{})
	var wg sync.WaitGroup
	got := make([][]byte, 16)
	for i := range got {
		wg.Go(func() {
			<-start
			b, err := Msgpack{}.Encode(nil, v)
			if err != nil {
				t.Error(err)
				return
			}
			var back branch
			if err := (Msgpack{}).Decode(b, &back); err != nil || !reflect.DeepEqual(back, v) {
				t.Errorf("decoded %+v, %v", back, err)
			}
			got[i] = b
		})
	}
	close(start)
	wg.Wait()
	for _, b := range got[1:] {
		if !bytes.Equal(b, got[0]) {
			t.Fatalf("%x and %x are the same value", b, got[0])
		}
	}
}
