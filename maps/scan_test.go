package maps

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// pageBytes bounds one answer to a read of many entries; see maps/state.
const pageBytes = 256 << 10

// A page of keys is bounded by the bytes of keys alone, one with values by those of both.
func TestPagesOfKeys(t *testing.T) {
	o := newOwner(t, 1)
	const n = 20
	for i := range n {
		o.set("m", fmt.Sprintf("key%02d", i), strings.Repeat("v", pageBytes/4))
	}
	page := func(name, after string, what uint8) wire.ScanResult {
		t.Helper()
		r, err := wire.DecodeScanResult(o.call(0, wire.OpScan, wire.AppendScanBody(nil, &wire.ScanBody{Map: []byte(name), After: []byte(after), What: what})))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := page("m", "", wire.ScanKeys); len(r.Keys) != n || r.More {
		t.Errorf("%d keys beside large values, more: %v", len(r.Keys), r.More)
	}
	if r := page("m", "", wire.ScanKeys|wire.ScanValues); len(r.Keys) != 3 || !r.More {
		t.Errorf("%d entries with large values, more: %v", len(r.Keys), r.More)
	}
	// Large keys end a page, and none is lost between two.
	const size = 50 << 10
	for i := range n {
		o.set("keys", fmt.Sprintf("%02d", i)+strings.Repeat("k", size), "v")
	}
	seen, after := 0, ""
	for more := true; more; {
		r := page("keys", after, wire.ScanKeys)
		if len(r.Keys) > pageBytes/size+1 {
			t.Fatalf("a page of %d large keys", len(r.Keys))
		}
		if more = r.More; len(r.Keys) > 0 {
			after = string(r.Keys[len(r.Keys)-1])
		}
		seen += len(r.Keys)
	}
	if seen != n {
		t.Errorf("%d keys in all pages", seen)
	}
}
