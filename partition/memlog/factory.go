package memlog

import (
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/vfs"
)

// Factory returns what goes into NodeHostConfig.Expert.LogDBFactory. It hands out db to the first NodeHost that asks, which
// owns it from then on and closes it, also when it fails to start; the next one gets ErrTaken. A NodeHost on the default file
// system gets ErrOnDisk: its identity and snapshots would outlive its log.
//
// The settings in Expert.LogDB are for logs on a disk and mean nothing here: any number of workers may write, and the log is
// never busy. NOTE: NodeHost compares Expert.LogDB.Shards and Expert.Engine.ExecShards with what it wrote when it first started.
func (db *DB) Factory() config.LogDBFactory { return factory{db: db} }

type factory struct{ db *DB }

// Name implements config.LogDBFactory.
func (f factory) Name() string { return f.db.Name() }

// Create implements config.LogDBFactory.
func (f factory) Create(cfg config.NodeHostConfig, _ config.LogDBCallback, _, _ []string) (raftio.ILogDB, error) {
	if cfg.Expert.FS == nil || cfg.Expert.FS == vfs.Default {
		return nil, ErrOnDisk
	}
	if !f.db.taken.CompareAndSwap(false, true) {
		// A log belongs to one start of a NodeHost. Another would find the votes of the first.
		return nil, ErrTaken
	}
	return f.db, nil
}
