package sdk

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// eachOf calls its argument for each of the places.
func eachOf(places map[int]place) func(func(int, place)) {
	return func(f func(int, place)) {
		for _, p := range slices.Sorted(maps.Keys(places)) {
			f(p, places[p])
		}
	}
}

// tokenOf returns a token with the places of a map in a cluster.
func tokenOf(of uint64, partitions int, places map[int]place) ResumeToken {
	return newTokenWriter(of, partitions, len(places)).next(0, 0, place{}, eachOf(places))
}

// Each of a writer's tokens has the places as they were when it was made, whatever comes after it.
func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 300).Draw(t, "partitions")
		draw := rapid.Custom(func(t *rapid.T) place {
			return place{rapid.Uint64Range(1, 1<<20).Draw(t, "generation"), rapid.Uint64().Draw(t, "pos")}
		})
		places := rapid.MapOfN(rapid.IntRange(0, partitions-1), draw, 1, -1).Draw(t, "places")
		w, now := newTokenWriter(7, partitions, len(places)), int64(0)
		type made struct {
			token  ResumeToken
			places map[int]place
		}
		var tokens []made
		for range rapid.IntRange(1, 200).Draw(t, "events") {
			p := rapid.SampledFrom(slices.Sorted(maps.Keys(places))).Draw(t, "partition")
			places[p] = draw.Draw(t, "place")
			now += rapid.SampledFrom([]int64{0, 0, 0, int64(tokenAge) / 3}).Draw(t, "time")
			tokens = append(tokens, made{w.next(now, p, places[p], eachOf(places)), maps.Clone(places)})
		}
		for i, m := range tokens {
			if got, err := parseToken(m.token, 7, partitions); err != nil || !maps.Equal(got, m.places) {
				t.Fatalf("token %d: got %v, %v", i, got, err)
			}
		}
	})
}

// No change of a token goes unnoticed; where it is cut, it is refused or one of an event before.
func TestTokenIsChecked(t *testing.T) {
	of := tokenMap(wire.ID{1}, "m")
	places := map[int]place{0: {1, 9}, 3: {1, 0}, 11: {2, 1 << 40}}
	w := newTokenWriter(of, 12, len(places))
	var made []ResumeToken
	for i := range 3 {
		places[3] = place{1, uint64(i)}
		made = append(made, w.next(0, 3, places[3], eachOf(places)))
	}
	token := made[2]
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
		if _, err := parseToken(token[:i], of, 12); errors.Is(err, errToken) == slices.Contains(made, token[:i]) {
			t.Fatalf("the first %d bytes: %v", i, err)
		}
	}
	for what, err := range map[string]error{
		"another map":   tokenError(parseToken(token, tokenMap(wire.ID{1}, "n"), 12)),
		"another grid":  tokenError(parseToken(token, tokenMap(wire.ID{2}, "m"), 12)),
		"13 partitions": tokenError(parseToken(token, of, 13)),
		"out of range":  tokenError(parseToken(tokenOf(of, 12, map[int]place{12: {}}), of, 12)),
		"another place": tokenError(parseToken(w.next(0, 4, place{1, 1}, eachOf(places)), of, 12)),
		"version 1":     tokenError(parseToken("AQAAAAAAAAAHDAMAAQUJAgAAAAcCvAWsArhQ3Pg", 7, 12)),
	} {
		if !errors.Is(err, errToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func tokenError(_ map[int]place, err error) error { return err }

// The form of a token is kept by those who resume: it does not change within a version.
func TestTokenForm(t *testing.T) {
	places := map[int]place{0: {1, 9}, 3: {1, 0}, 11: {2, 300}}
	w := newTokenWriter(7, 12, len(places))
	for i, want := range []ResumeToken{"AgAAAAAAAAAHDAMAAQkCAQAHAqwCAAA_Ms6C", "AgAAAAAAAAAHDAMAAQkCAQAHAqwCAAA_Ms6CAwEFAABHonu4"} {
		if got := w.next(0, 3, place{1, 5}, eachOf(places)); got != want {
			t.Errorf("token %d is %s, it was %s", i, got, want)
		}
	}
}

// With the usual 271 partitions a token stays below four kilobytes, and one of a single key's partition below two.
func TestTokenSize(t *testing.T) {
	for n, most := range map[int]int{271: 4 << 10, 1: 2 << 10} {
		places := make(map[int]place)
		for i := range n {
			places[i] = place{1, uint64(i * 5000)}
		}
		w := newTokenWriter(7, 271, n)
		for i := range 5000 {
			places[0] = place{1, uint64(i)}
			if token := w.next(0, 0, places[0], eachOf(places)); len(token) > most {
				t.Fatalf("%d bytes for %d partitions", len(token), n)
			}
		}
	}
}

func BenchmarkToken(b *testing.B) {
	for _, partitions := range []int{271, 4096} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			at := make([]place, partitions)
			for i := range at {
				at[i] = place{1, uint64(i * 5000)}
			}
			all := func(f func(int, place)) {
				for i, p := range at {
					f(i, p)
				}
			}
			w := newTokenWriter(7, partitions, partitions)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				i := n % partitions
				at[i].pos++
				// 20,000 events per second
				if token := w.next(int64(n)*int64(50*time.Microsecond), i, at[i], all); strings.HasSuffix(string(token), "!") {
					b.Fatal(token)
				}
			}
		})
	}
}
