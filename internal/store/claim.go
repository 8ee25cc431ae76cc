package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Claim is the right to be the one process that answers from an SQLite file. Two
// that did not know of each other would each go on accepting what the other has
// revoked. On PostgreSQL processes know of each other: see [Nodes].
type Claim struct {
	lock      *os.File
	since     time.Time
	inherited bool // whoever had it before ended without giving it up
}

// lingering is for how long a verifier outside the server may answer after the process
// that it followed has ended without a word.
const lingering = 2 * time.Second

// NewClaim takes the claim on the database at url, which is "sqlite:PATH", without
// waiting: when another process has it, the error says which. It is not inherited
// by processes that this one starts, and ends with this one, however it ends.
func NewClaim(url string) (*Claim, error) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok || path == "" {
		return nil, errors.New("store: only an SQLite file is claimed")
	}
	c, err := claimFile(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return c, nil
}

// Lingering returns for how much longer verifiers may answer that followed an earlier
// process, one that ended without giving the claim up.
func (c *Claim) Lingering() time.Duration {
	if !c.inherited {
		return 0
	}
	return max(0, lingering-time.Since(c.since))
}

// Release gives the claim up, and says that nobody answers any more from the file.
func (c *Claim) Release() error {
	if c.Lingering() > 0 {
		return c.Abandon()
	}
	return errors.Join(c.lock.Truncate(0), c.lock.Close())
}

// Abandon gives the claim up as the end of the process does: whoever has it next knows
// that verifiers may still answer.
func (c *Claim) Abandon() error { return c.lock.Close() }

// claimFile locks a file beside the database at path. The system takes the lock
// away when the process ends, and never before.
func claimFile(path string) (*Claim, error) {
	path, err := realPath(path)
	if err != nil {
		return nil, fmt.Errorf("find the database file: %w", err)
	}
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
	c := &Claim{lock: file, since: time.Now()}
	about, err := file.Stat()
	if err == nil {
		c.inherited = about.Size() > 0
		err = writePID(file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", file.Name(), err), file.Close())
	}
	return c, nil // it stays when the process ends: another may be about to lock the very same one
}

// realPath returns the one name of a file that may not be there yet, so that two
// ways to it meet at one lock.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(folder, filepath.Base(path)), err
}

// inUse says who holds the lock, as far as the holder has written it down yet.
func inUse(path string, file *os.File) error {
	text, err := io.ReadAll(io.LimitReader(file, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return fmt.Errorf("%s is in use by process %s: stop it first", path, pid)
	}
	return fmt.Errorf("%s is in use by another process: stop it first", path)
}

// writePID writes this process down. The file is at no time empty, which would say that
// nobody had the database before.
func writePID(file *os.File) error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := file.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return file.Truncate(int64(len(text)))
}
