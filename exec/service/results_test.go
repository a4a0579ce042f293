package service

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// TestResultsAgainstModel drives results beside a plain list in order of arrival.
func TestResultsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{ResultTTL: 50, FetchedTTL: 10, MaxResults: 6, MaxResultBytes: 5*resultOverhead + 200}
		r := newResults(&cfg)
		now := time.Unix(1000, 0)
		var model []kept // unfetched in order of arrival, fetched in order of fetching
		next := uint64(0)

		drop := func(want []wire.ID, got []wire.ID) {
			t.Helper()
			if !slices.Equal(want, got) {
				t.Fatalf("dropped %v, want %v", got, want)
			}
			model = slices.DeleteFunc(model, func(k kept) bool { return slices.Contains(want, k.id) })
		}
		oldestOf := func(fetched bool) int {
			return slices.IndexFunc(model, func(k kept) bool { return k.fetched == fetched })
		}
		size := func() (n int64) {
			for _, k := range model {
				n += k.size
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				next++
				n := rapid.Int64Range(0, 200).Draw(t, "size")
				got := r.add(taskID(next), n, now)
				model = append(model, kept{id: taskID(next), size: n + resultOverhead, expires: now.Add(50)})
				var want []wire.ID
				for len(model) > 6 || size() > cfg.MaxResultBytes {
					at := oldestOf(true)
					if at < 0 {
						at = oldestOf(false)
					}
					want = append(want, model[at].id)
					model = slices.Delete(model, at, at+1)
				}
				drop(want, got)
			},
			"fetch": func(t *rapid.T) {
				id := taskID(rapid.Uint64Range(1, next+2).Draw(t, "id"))
				r.fetch(id, now)
				if at := slices.IndexFunc(model, func(k kept) bool { return k.id == id && !k.fetched }); at >= 0 {
					k := model[at]
					k.fetched, k.expires = true, now.Add(10)
					model = append(slices.Delete(model, at, at+1), k)
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "later")))
				var want []wire.ID
				for _, fetched := range []bool{true, false} {
					for _, k := range model {
						if k.fetched == fetched && !k.expires.After(now) {
							want = append(want, k.id)
						}
					}
				}
				drop(want, r.expire(now))
			},
			"": func(t *rapid.T) {
				if r.len() != len(model) || r.bytes != size() || r.fetched.Len()+r.unfetched.Len() != len(model) {
					t.Fatalf("%d results of %d bytes in lists of %d and %d, want %d of %d", r.len(), r.bytes, r.fetched.Len(), r.unfetched.Len(), len(model), size())
				}
			},
		})
	})
}
