package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// claimFile locks a file beside the database at path. The system takes the lock
// away when the process ends, however it ends, and never before.
func claimFile(path string) (*Claim, error) {
	file, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock beside the database: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(inUse(path, file), file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
	}
	if err := writePID(file); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", file.Name(), err), file.Close())
	}
	// The file stays: another process may be about to lock the very same one.
	return &Claim{lost: make(chan struct{}), release: file.Close}, nil
}

// inUse says who holds the lock, as far as the holder has written it down yet.
func inUse(path string, file *os.File) error {
	text, err := io.ReadAll(io.LimitReader(file, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return fmt.Errorf("%s is in use by process %s", path, pid)
	}
	return fmt.Errorf("%s is in use by another process", path)
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}
