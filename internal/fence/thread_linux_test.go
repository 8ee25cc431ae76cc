package fence_test

import (
	"syscall"
	"time"
)

// threadTime returns how long the thread that calls it has run on a processor.
func threadTime() (time.Duration, error) {
	const thread = 1 // RUSAGE_THREAD of getrusage(2)
	var used syscall.Rusage
	if err := syscall.Getrusage(thread, &used); err != nil {
		return 0, err
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}
