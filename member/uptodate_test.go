package member

import (
	"testing"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Whoever asks who is in the cluster, after a change of that was acknowledged to anybody, is told of the change by every member,
// though most learn of it only with the next heartbeat of the metadata's leader.
func TestMembersAnswerWhatIsCommitted(t *testing.T) {
	t.Parallel()
	members := runningMembers(t, 3, nil)
	for range 10 {
		res, err := members[0].meta.Commit(testContext(t), &meta.RaiseLevel{Level: members[0].metaView().Level + 1})
		if err != nil || !res.OK() {
			t.Fatal(res, err)
		}
		committed := members[0].metaView().Version
		for i, m := range members {
			c := connected(t, m)
			req := c.request(wire.OpTable, wire.UpToDate)
			c.send(req)
			a := c.answer()
			for a.ID != req.ID || a.Flags&wire.FlagPush != 0 {
				a = c.answer()
			}
			v, err := wire.DecodeTable(a.Body)
			if err != nil || v.Meta < committed {
				t.Errorf("member %d answers with version %d, %v; %d was committed", i, v.Meta, err, committed)
			}
		}
	}
}
