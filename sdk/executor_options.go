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

// Timeout ends the task's context once the task has run for d. The wait for a place in the executor's pool does not count. The
// outcome then is context.DeadlineExceeded, whatever the function returns. d must be above zero and is rounded up to
// milliseconds.
func Timeout(d time.Duration) SubmitOption {
	return submitOption(func(c *submitConfig) error {
		if d <= 0 {
			return fmt.Errorf("Timeout: %v is not above zero", d)
		}
		c.timeoutMs = uint64((d-1)/time.Millisecond) + 1
		return nil
	})
}
