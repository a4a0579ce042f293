package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/exec/builtin"
	"github.com/gridiron-io/gridiron/sdk"
)

func (d *demo) steps() []demoStep {
	return []demoStep{
		{"Start three members", "They find each other, bootstrap a cluster, and divide its data into 271 partitions. Each partition is a Raft group\n" +
			"kept on all three members, one of which owns it.", d.start},
		{"Store a value for a second", "An entry with a time to live exists until that time has passed.", d.expire},
		{"Listen to changes", "A listener gets every change of an entry, in the order of the changes.", d.listen},
		{"Read from a copy", "A near cache keeps in the client's process what was read. When anybody changes the entry, an event drops the copy.", d.readNear},
		{"Run a function on all members", "Code can go to where the data is. The task \"whoami\" is registered on every member.", d.executeOnAll},
		{"Store 10,000 numbers, and let each member add up its own", "Each member sums its own entries; together that is the sum of the whole.", d.fill},
		{"Kill a member", "Its connections are cut without a goodbye. The other two hold replicas of its data.", d.kill},
		{"Read everything back", "The other two elect new owners for the dead member's partitions, and calls wait for that. Every acknowledged write is on\n" +
			"a majority of the members, so the death of one loses nothing.", d.readBack},
		{"Write again", "Two of three are a majority: the cluster takes writes as before.", d.writeAgain},
	}
}

// start starts the cluster and waits until any one member may die.
func (d *demo) start(ctx context.Context) (string, error) {
	l, err := startLocal(ctx, localConfig{cluster: "demo", members: demoMembers, host: "127.0.0.1", log: d.log}, d.dir.set)
	if err != nil {
		return "", err
	}

	d.l = l
	if d.c, err = d.connect(ctx); err != nil {
		return "", err
	}
	if d.numbers, err = sdk.OpenMap[string, int64](d.c, "numbers"); err != nil {
		return "", err
	}

	// Later steps kill a member, so the cluster must be safe before.
	var status sdk.ClusterStatus
	err = poll(ctx, func() (ok bool, err error) {
		status, err = d.c.Cluster(ctx)
		return err == nil && status.Safe && status.Ready == demoMembers, err
	})
	if err != nil {
		return "", fmt.Errorf("the cluster did not become safe: %w", err)
	}

	if status.Tolerates != 1 {
		return "", fmt.Errorf("three members tolerate the death of %d, not of 1", status.Tolerates)
	}

	var b strings.Builder
	for i, addr := range l.addrs {
		fmt.Fprintf(&b, "member m%d serves clients at %s\n", i+1, addr)
	}
	fmt.Fprintf(&b, "%d partitions on %d members; any one of them may die", status.Partitions, status.Members)
	return b.String(), nil
}

// connect returns a client that knows all members, and belongs to none of them.
func (d *demo) connect(ctx context.Context) (*sdk.Client, error) {
	return sdk.Connect(ctx, d.l.addrs, sdk.WithClusterName("demo"), sdk.WithClientName("grid demo"))
}

// expire stores an entry with a TTL, reads it, and waits for its end.
func (d *demo) expire(ctx context.Context) (string, error) {
	const ttl, early, late = time.Second, 50 * time.Millisecond, 3 * time.Second
	sessions, err := sdk.OpenMap[string, string](d.c, "sessions")
	if err != nil {
		return "", err
	}

	// Taken before the call, so that the time of the call cannot make the entry seem short-lived.
	before := time.Now()
	if err := sessions.Set(ctx, "alice", "token-1", sdk.WithTTL(ttl)); err != nil {
		return "", err
	}

	value, found, err := sessions.Get(ctx, "alice")
	if err != nil {
		return "", err
	}
	if !found || value != "token-1" {
		return "", fmt.Errorf("read back %q (found: %v), not \"token-1\"", value, found)
	}

	err = poll(ctx, func() (bool, error) {
		_, found, err := sessions.Get(ctx, "alice")
		return err == nil && !found, err
	})
	if err != nil {
		return "", fmt.Errorf("the entry did not end: %w", err)
	}

	// Expiry goes by cluster time, and the entry is looked at every 20 ms. Both may shift it a little.
	lived := time.Since(before)
	if lived < ttl-early || lived > ttl+late {
		return "", fmt.Errorf("the entry was there for %v, not for %v", lived, ttl)
	}
	return fmt.Sprintf("stored, read back as %q, and gone after %v", value, lived.Round(10*time.Millisecond)), nil
}

// executeOnAll runs tasks on all members and checks that each of them answered for itself.
func (d *demo) executeOnAll(ctx context.Context) (string, error) {
	ex := d.c.Executor("demo")
	if err := ex.ExecuteOnAllMembers(ctx, "whoami", nil); err != nil {
		return "", err
	}

	f, err := sdk.SubmitToAllMembers[builtin.WhoAmI](ctx, ex, "whoami", nil)
	if err != nil {
		return "", err
	}

	names := make(map[string]bool)

	for r, err := range f.All(ctx) {
		if err = errors.Join(err, r.Err); err != nil {
			return "", err
		}
		// The answer must come from the member that ran the task, not from whoever was asked.
		if r.Value.ID != r.Member {
			return "", fmt.Errorf("member %s answered that it is %s", r.Member, r.Value.ID)
		}
		names[r.Value.Name] = true
	}

	if len(names) != demoMembers || !names["m1"] || !names["m2"] || !names["m3"] {
		return "", fmt.Errorf("answers came from %v, not from m1, m2 and m3", names)
	}
	return "m1, m2 and m3 have each answered with their own identity", nil
}

// number returns the value of the i-th entry in the first or the second round.
func number(i int, round int64) int64 { return int64(i)*7 + round }

func numberKey(i int) string { return "n" + strconv.Itoa(i) }

// store writes all numbers of a round.
func (d *demo) store(ctx context.Context, round int64) error {
	numbers := make(map[string]int64, demoEntries)
	for i := range demoEntries {
		numbers[numberKey(i)] = number(i, round)
	}
	return d.numbers.SetAll(ctx, numbers)
}

// check reads all numbers and compares them with those of a round.
func (d *demo) check(ctx context.Context, round int64) error {
	keys := make([]string, demoEntries)
	for i := range keys {
		keys[i] = numberKey(i)
	}

	got, err := d.numbers.GetAll(ctx, keys...)
	if err != nil {
		return err
	}

	missing, wrong := 0, 0
	for i, key := range keys {
		switch v, ok := got[key]; {
		case !ok:
			missing++
		case v != number(i, round):
			wrong++
		}
	}

	if missing+wrong > 0 {
		return fmt.Errorf("of %d entries %d are missing and %d have another value", demoEntries, missing, wrong)
	}
	return nil
}

// fill stores the numbers, and has the members add them up.
func (d *demo) fill(ctx context.Context) (string, error) {
	if err := d.store(ctx, 0); err != nil {
		return "", err
	}

	size, err := d.numbers.Size(ctx)
	if err != nil {
		return "", err
	}

	if size != demoEntries {
		return "", fmt.Errorf("the map has %d entries", size)
	}

	var want int64
	for i := range demoEntries {
		want += number(i, 0)
	}

	// Together the members see each entry once, as long as no partition changes its owner between their answers. Owners may still change on a
	// busy machine: then the members are asked again.
	var sum int64
	var parts []string
	err = poll(ctx, func() (ok bool, err error) {
		if sum, parts, err = d.memberSums(ctx); err == nil && sum != want {
			err = fmt.Errorf("the members' sums %s make %d, not %d", strings.Join(parts, ", "), sum, want)
		}
		return err == nil, err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d entries; %s = %d, as it must be", size, strings.Join(parts, " + "), sum), nil
}

// memberSums has each member add up its own numbers, and returns the sum of all and the members' parts.
func (d *demo) memberSums(ctx context.Context) (sum int64, parts []string, err error) {
	f, err := sdk.SubmitToAllMembers[int64](ctx, d.c.Executor("demo"), "sum-map", "numbers")
	if err != nil {
		return 0, nil, err
	}

	for r, err := range f.All(ctx) {
		if err = errors.Join(err, r.Err); err != nil {
			return 0, nil, err
		}
		sum += r.Value
		parts = append(parts, strconv.FormatInt(r.Value, 10))
	}
	return sum, parts, nil
}

// kill ends the last member abruptly.
func (d *demo) kill(ctx context.Context) (string, error) {
	victim := demoMembers - 1
	m := d.l.members[victim]
	var owned int
	err := poll(ctx, func() (ok bool, err error) { // owners are spread evenly again soon, wherever they were elected
		if owned, err = d.ownedBy(ctx, m.ID()); err == nil && owned == 0 {
			err = fmt.Errorf("m%d owns nothing", victim+1)
		}
		return err == nil, err
	})
	if err != nil {
		return "", err
	}

	// close must not stop the member once more.
	d.l.members[victim] = nil
	m.Kill()
	return fmt.Sprintf("m%d is dead, and %d partitions have lost their owner", victim+1, owned), nil
}

// ownedBy returns how many partitions a member owns.
func (d *demo) ownedBy(ctx context.Context, member string) (int, error) {
	partitions, err := d.c.Partitions(ctx)
	if err != nil {
		return 0, err
	}

	n := 0
	for _, p := range partitions {
		if p.Owner == member {
			n++
		}
	}
	return n, nil
}

func (d *demo) readBack(ctx context.Context) (string, error) {
	if err := d.check(ctx, 0); err != nil {
		return "", err
	}
	return fmt.Sprintf("all %d entries are there, each with its value", demoEntries), nil
}

func (d *demo) writeAgain(ctx context.Context) (string, error) {
	if err := d.store(ctx, 1); err != nil {
		return "", err
	}
	if err := d.check(ctx, 1); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d entries written again and read back", demoEntries), nil
}

// poll calls f again and again until it reports true, and returns its last error if ctx ends before.
func poll(ctx context.Context, f func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := f()
		if ok {
			return nil
		}

		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
