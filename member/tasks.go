package member

import (
	"context"
	"errors"
	"fmt"
	"iter"

	execsvc "github.com/gridiron-io/gridiron/exec/service"
	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/sdk"
)

// makeTasks makes the service of tasks. It accepts none before it is started.
func (m *Member) makeTasks() (err error) {
	m.tasks, err = execsvc.New(execsvc.Config{Registry: m.cfg.Registry, Member: m.self, Client: m.Client, LocalEntries: m.localEntries,
		Executors: m.cfg.Executors, Logger: m.log})
	if err != nil {
		return fmt.Errorf("start the tasks: %w", err)
	}
	return nil
}

// self returns this member as tasks and clients see it.
func (m *Member) self() sdk.Member {
	return sdk.Member{ID: m.id.String(), Name: m.cfg.Name, Addr: m.Addr(), Zone: m.cfg.Zone, Tags: m.cfg.Tags,
		State: sdk.MemberReady, Version: m.cfg.Version}
}

// localEntries yields the entries of a map in the partitions owned here: see maps.Service.EachLocal.
func (m *Member) localEntries(ctx context.Context, name string) iter.Seq2[execsvc.RawEntry, error] {
	return func(yield func(execsvc.RawEntry, error) bool) {
		err := m.maps.EachLocal(ctx, name, func(key, value []byte) bool { return yield(execsvc.RawEntry{Key: key, Value: value}, nil) })
		if errors.Is(err, maps.ErrUnreadable) {
			// Tasks know the errors of the client alone.
			err = fmt.Errorf("%w: %w", sdk.ErrUnavailable, err)
		}
		if err != nil {
			// The error is the last that the caller is given, after which nothing follows.
			yield(execsvc.RawEntry{}, err)
		}
	}
}
