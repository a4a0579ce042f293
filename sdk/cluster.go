package sdk

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Members returns the cluster's members, ordered by name, as one of them knows them now.
func (c *Client) Members(ctx context.Context) (members []Member, err error) {
	ctx, span := c.tracer.start(ctx, "members", "")
	defer func() { endSpan(span, err) }()
	// Any member will do: with UpToDate it first learns of the latest metadata, if it can do so soon.
	body, err := c.callAny(ctx, wire.OpTable, wire.UpToDate)
	if err != nil {
		return nil, err
	}

	v, err := wire.DecodeTable(body)
	if err != nil {
		return nil, unreadable(wire.OpTable, "", -1, err)
	}

	known := v.Members
	if t := c.table.Load(); t.meta > v.Meta { // the member that was asked is behind
		known = t.members
	}
	return membersOf(known), nil
}

// membersOf returns members as they are shown, ordered by name.
func membersOf(known []wire.MemberInfo) (members []Member) {
	for i := range known {
		members = append(members, memberOf(&known[i]))
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return members
}

// Cluster returns the state of the cluster, as one of its members sees it.
func (c *Client) Cluster(ctx context.Context) (status ClusterStatus, err error) {
	ctx, span := c.tracer.start(ctx, "cluster", "")
	defer func() { endSpan(span, err) }()
	body, err := c.callAny(ctx, wire.OpStatus, wire.UpToDate)
	if err != nil {
		return ClusterStatus{}, err
	}
	return statusOf(body)
}

func statusOf(body []byte) (ClusterStatus, error) {
	s, err := wire.DecodeStatus(body)
	if err != nil {
		return ClusterStatus{}, unreadable(wire.OpStatus, "", -1, err)
	}
	return ClusterStatus{
		ID: s.ID.String(), Name: s.Name, State: s.State, Safe: s.Safe, Tolerates: int(s.Tolerates), Members: int(s.Members),
		Ready: int(s.Ready), Partitions: int(s.Partitions), Replicas: int(s.Replicas), UnderReplicated: int(s.UnderReplicated),
		Unavailable: int(s.Unavailable), Lost: int(s.Lost), PossibleDataLoss: int(s.PossibleDataLoss), Moves: int(s.Moves), Versions: s.Versions, MetadataLed: s.MetadataLed,
		OutOfStep: int(s.OutOfStep), ClockSkew: time.Duration(s.Skew) * time.Millisecond,
		NoRoom: int(s.NoRoom), Reason: s.Reason,
	}, nil
}

// Partitions returns all partitions, ordered by ID. Each is described by its owner or, if the owner does not answer, by the
// member that knows its latest epoch. Members that do not answer are left out. If none answers, the error is ErrUnavailable.
func (c *Client) Partitions(ctx context.Context) (partitions []Partition, err error) {
	ctx, span := c.tracer.start(ctx, "partitions", "")
	defer func() { endSpan(span, err) }()

	// Each member tells what it knows of the partitions. Of several answers about one partition, the latest counts.
	best := make([]wire.PartitionInfo, c.partitionCount())
	err = c.repeatedly(ctx, wire.OpPartitions, func(ctx context.Context) error {
		answered, err := c.askAll(ctx, wire.OpPartitions, nil, func(_ wire.ID, body []byte) error {
			list, err := wire.DecodePartitionInfos(body)
			for i := range min(len(list), len(best)) {
				if p := &list[i]; p.Epoch > best[i].Epoch || p.Epoch == best[i].Epoch && p.Index >= best[i].Index {
					best[i] = *p
				}
			}
			return err
		})
		// Some members have answered, and those that did not are left out, as the contract says.
		if answered > 0 && unanswered(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}

	partitions = make([]Partition, len(best))
	for i, p := range best {
		partitions[i] = Partition{ID: i, Epoch: p.Epoch, Index: p.Index}

		// Without an owner the field stays empty: the partition is moving or has no majority.
		if !p.Owner.IsZero() {
			partitions[i].Owner = p.Owner.String()
		}
		for _, r := range p.Replicas {
			partitions[i].Replicas = append(partitions[i].Replicas, r.String())
		}
	}
	return partitions, nil
}

// Maps returns the maps that hold entries, ordered by name, with their sizes summed over the members. Members answer one after
// the other: during writes and moves, the sums are of no single instant.
func (c *Client) Maps(ctx context.Context) (maps []MapInfo, err error) {
	ctx, span := c.tracer.start(ctx, "maps", "")
	defer func() { endSpan(span, err) }()
	var sums map[string]*MapInfo
	err = c.repeatedly(ctx, wire.OpMaps, func(ctx context.Context) error {
		// Each round begins from zero, or members that answered in an earlier round would be counted twice.
		sums = make(map[string]*MapInfo)
		_, err := c.askAll(ctx, wire.OpMaps, nil, func(_ wire.ID, body []byte) error {
			list, err := wire.DecodeMapInfos(body)
			for _, m := range list {
				if sums[m.Name] == nil {
					sums[m.Name] = &MapInfo{Name: m.Name}
				}
				sums[m.Name].Entries += int(m.Entries)
				sums[m.Name].Bytes += int64(m.Bytes)
			}
			return err
		})
		return err
	})
	if err != nil {
		return nil, err
	}

	maps = make([]MapInfo, 0, len(sums))
	for _, m := range sums {
		if m.Entries > 0 { // members remember an emptied map for a while
			maps = append(maps, *m)
		}
	}
	slices.SortFunc(maps, func(a, b MapInfo) int { return cmp.Compare(a.Name, b.Name) })
	return maps, nil
}

// askAll asks all members that serve at once, with the same body, and hands their answers to f, one after the other. It returns how many
// answered, and the first error: of a member that could not be asked, or of f.
func (c *Client) askAll(ctx context.Context, op wire.Op, body []byte, f func(member wire.ID, body []byte) error) (answered int, err error) {
	// All members are asked at the same time, so one bound for all is enough.
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()

	members := c.serving()
	list := make([]*call, len(members))
	for i, m := range members {
		list[i] = newCall(op, "", wire.NoPartition)
		list[i].member = m.ID
		list[i].body = append(list[i].body[:0], body...)
		defer list[i].release()
	}

	c.invokeAll(ctx, list)
	for _, cl := range list {
		e := cl.err
		if e == nil {
			answered++
			if e = f(cl.member, cl.Answer.Body); e != nil {
				e = unreadable(op, "", -1, e)
			}
		}
		// The first error is kept and the other answers are still taken: a member that is down must not hide the rest.
		if err == nil {
			err = e
		}
	}

	if len(list) == 0 {
		err = &Error{Op: op.String(), Partition: -1, Err: ErrUnavailable, Hint: "no member is known to serve"}
	}
	return answered, err
}

// unreadable returns the error for an answer that cannot be decoded: the member speaks another language.
func unreadable(op wire.Op, name string, partition int, err error) error {
	return &Error{Op: op.String(), Name: name, Partition: partition, Err: errInternal, Hint: "the answer cannot be read: " + err.Error()}
}
