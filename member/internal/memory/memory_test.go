package memory

import (
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// What an owner has let in for a follower counts until the follower has surely counted it itself, and as much for each other owner.
func TestRoomOfAFollower(t *testing.T) {
	rs := New(Config{})
	rs.owners.Store(3)
	r := rs.Of(wire.ID{1})
	name := "m1"
	r.name.Store(&name)
	rs.table.Store(&[][]*Room{{r}, nil})
	at := time.Now()
	heard := func(after time.Duration, used uint64) {
		at = at.Add(after)
		r.Asking(at)
		r.Answered(&wire.PingResult{Limit: 10_000, Used: used, Expected: 1000})
	}
	admitted := func(want bool, bytes int64, evictable bool) {
		t.Helper()
		if err := rs.Admit(0, bytes, evictable); (err == nil) != want {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
	admitted(true, 1<<30, false) // nothing is known of it
	heard(0, 0)
	heard(time.Second, 6000) // 3000 are left
	admitted(false, 3001, false)
	admitted(true, 3001, true)
	heard(time.Second, 6000)
	heard(time.Second, 6000)
	admitted(true, 500, false)
	admitted(true, 500, false) // 1000 by this owner, and by two others: 0 are left
	admitted(false, 1, false)
	heard(time.Millisecond, 6000)
	admitted(false, 1, false) // it may not have counted them yet
	heard(time.Second, 7000)
	heard(time.Second, 7000)
	admitted(true, 600, false)
	if err := rs.Admit(0, 2000, false); err == nil || !strings.Contains(err.Error(), "member m1 has 200 of 10000 bytes left") {
		t.Errorf("refused with %v", err)
	}
	if err := rs.Admit(1, 1<<30, false); err != nil {
		t.Errorf("a partition without followers: %v", err)
	}
	r.Silent()
	admitted(true, 1<<30, false)
}
