//go:build !linux

package fence_test

import (
	"errors"
	"time"
)

// threadTime cannot be known here.
func threadTime() (time.Duration, error) { return 0, errors.ErrUnsupported }
