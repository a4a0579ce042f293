// Package telemetry is not API: programs use package grid, and it may change in any version.
//
// It joins the program's logs, traces and metrics to the libraries that make them: dragonboat's loggers, the
// OpenTelemetry SDK. It is the only package that knows that SDK.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/logger"
)

var raft struct {
	once sync.Once
	log  atomic.Pointer[slog.Logger]
}

// RaftLogs sends what dragonboat logs to l, at warning level and above. Dragonboat has one logger for the process: the last
// call holds, and a program that has set dragonboat's logger factory itself keeps its own.
func RaftLogs(l *slog.Logger) {
	raft.log.Store(l)
	raft.once.Do(func() {
		defer func() { _ = recover() }() // dragonboat panics when a factory was set before
		logger.SetLoggerFactory(func(pkg string) logger.ILogger { return &raftLogger{pkg: pkg} })
	})
}

// raftLogger is one of dragonboat's loggers. Its levels below warning are never formatted: elections of hundreds of groups
// would fill a log with them.
type raftLogger struct{ pkg string }

var _ logger.ILogger = (*raftLogger)(nil)

func (r *raftLogger) out(level slog.Level, format string, args []any) {
	l := raft.log.Load()
	if l == nil || !l.Enabled(context.Background(), level) {
		return
	}
	l.Log(context.Background(), level, fmt.Sprintf(format, args...), "component", "raft/"+r.pkg)
}

// SetLevel is ignored: the level is the slog handler's.
func (r *raftLogger) SetLevel(logger.LogLevel) {}

// Debugf drops.
func (r *raftLogger) Debugf(string, ...any) {}

// Infof drops.
func (r *raftLogger) Infof(string, ...any) {}

// Warningf is debug level to us: dragonboat warns of every connection that ends and every vote.
func (r *raftLogger) Warningf(format string, args ...any) { r.out(slog.LevelDebug, format, args) }

// Errorf is warning level to us: what dragonboat cannot go on with, it panics over. That a member is not reachable is said
// by the member, once; dragonboat's transport says it twice a second.
func (r *raftLogger) Errorf(format string, args ...any) {
	level := slog.LevelWarn
	if r.pkg == "transport" {
		level = slog.LevelDebug
	}
	r.out(level, format, args)
}

// Panicf logs and panics, as dragonboat relies on.
func (r *raftLogger) Panicf(format string, args ...any) {
	r.out(slog.LevelError, format, args)
	panic(fmt.Sprintf(format, args...))
}
