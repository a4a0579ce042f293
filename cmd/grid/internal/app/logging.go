package app

import (
	"log/slog"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/config"
)

// logger returns a logger to standard error.
func (p *Process) logger(level slog.Level, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	// People read a terminal, and programs read everything else.
	if format == config.FormatJSON || format == config.FormatAuto && !isTerminal(p.Err) {
		return slog.New(slog.NewJSONHandler(p.Err, opts))
	}
	return slog.New(slog.NewTextHandler(p.Err, opts))
}
