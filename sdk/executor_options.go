package sdk

import (
	"fmt"
	"time"
)

// SubmitOption changes how a task is submitted or run.
type SubmitOption interface{ applySubmit(*submitConfig) error }

type submitOption func(*submitConfig) error

func (o submitOption) applySubmit(c *submitConfig) error { return o(c) }

// submitConfig is what the options say.
type submitConfig struct {
	timeoutMs uint64 // 0: without limit
}

// Timeout ends the task's context once the task has run for d, not counting the time that it waits for a place in the
// executor's pool. Its outcome then is context.DeadlineExceeded, whatever its function returns. d is above zero, and rounded
// up to milliseconds.
func Timeout(d time.Duration) SubmitOption {
	return submitOption(func(c *submitConfig) error {
		if d <= 0 {
			return fmt.Errorf("Timeout: %v is not above zero", d)
		}
		c.timeoutMs = uint64((d-1)/time.Millisecond) + 1
		return nil
	})
}
