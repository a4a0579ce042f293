package sdk

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// tokenOf returns a token with the places of a map in a cluster.
func tokenOf(of uint64, partitions int, places map[int]place) ResumeToken {
	w := newTokenWriter(of, partitions, len(places))
	w.begin()
	for _, p := range slices.Sorted(maps.Keys(places)) {
		w.add(p, places[p])
	}
	return w.finish()
}

func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 300).Draw(t, "partitions")
		places := rapid.MapOf(rapid.IntRange(0, partitions-1), rapid.Custom(func(t *rapid.T) place {
			return place{rapid.Uint64().Draw(t, "instance"), rapid.Uint64().Draw(t, "seq")}
		})).Draw(t, "places")
		got, err := parseToken(tokenOf(7, partitions, places), 7, partitions)
		if err != nil || !maps.Equal(got, places) {
			t.Fatalf("got %v, %v", got, err)
		}
		// A writer's second token is as if it were the first.
		w := newTokenWriter(7, partitions, len(places))
		for _, add := range []uint64{0, 1} {
			w.begin()
			for _, p := range slices.Sorted(maps.Keys(places)) {
				w.add(p, place{places[p].instance, places[p].seq - 1 + add})
			}
			if token := w.finish(); add == 1 && token != tokenOf(7, partitions, places) {
				t.Fatalf("the second token of a writer is %s", token)
			}
		}
	})
}

// No change of a token goes unnoticed.
func TestTokenIsChecked(t *testing.T) {
	of := tokenMap(wire.ID{1}, "m")
	token := tokenOf(of, 12, map[int]place{0: {1<<instanceBits | 5, 9}, 3: {}, 11: {1<<instanceBits | 700, 1 << 40}})
	if _, err := parseToken(token, of, 12); err != nil {
		t.Fatal(err)
	}
	for i := range token {
		for _, c := range []byte{'A', 'z', '_', '!'} {
			changed := string(token[:i]) + string(c) + string(token[i+1:])
			if changed == string(token) {
				continue
			}
			if _, err := parseToken(ResumeToken(changed), of, 12); !errors.Is(err, errToken) {
				t.Fatalf("byte %d changed to %c: %v", i, c, err)
			}
		}
		if _, err := parseToken(token[:i], of, 12); !errors.Is(err, errToken) {
			t.Fatalf("the first %d bytes: %v", i, err)
		}
	}
	for what, err := range map[string]error{
		"another map":   tokenError(parseToken(token, tokenMap(wire.ID{1}, "n"), 12)),
		"another grid":  tokenError(parseToken(token, tokenMap(wire.ID{2}, "m"), 12)),
		"13 partitions": tokenError(parseToken(token, of, 13)),
		"out of range":  tokenError(parseToken(tokenOf(of, 12, map[int]place{12: {}}), of, 12)),
	} {
		if !errors.Is(err, errToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func tokenError(_ map[int]place, err error) error { return err }

// The form of a token is kept by those who resume: it does not change within a version.
func TestTokenForm(t *testing.T) {
	places := map[int]place{0: {1<<instanceBits | 5, 9}, 3: {}, 11: {2<<instanceBits | 700, 300}}
	const want = ResumeToken("AQAAAAAAAAAHDAMAAQUJAgAAAAcCvAWsArhQ3Pg")
	if got := tokenOf(7, 12, places); got != want {
		t.Errorf("the token is %s, it was %s", got, want)
	}
}

// With the usual 271 partitions a token stays below four kilobytes.
func TestTokenSize(t *testing.T) {
	places := make(map[int]place)
	for i := range 271 {
		places[i] = place{1<<instanceBits | uint64(i*1000), uint64(i * 5000)}
	}
	if token := tokenOf(7, 271, places); len(token) > 4<<10 {
		t.Errorf("%d bytes", len(token))
	}
}

func BenchmarkToken(b *testing.B) {
	w := newTokenWriter(7, 271, 271)
	b.ReportAllocs()
	for n := 0; b.Loop(); {
		w.begin()
		for i := range 271 {
			w.add(i, place{1<<instanceBits | uint64(i*1000), uint64(i*5000 + (n+i)/271)}) // one differs
		}
		n++
		if token := w.finish(); strings.HasSuffix(string(token), "!") {
			b.Fatal(token)
		}
	}
}
