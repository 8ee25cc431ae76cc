package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Claim is the right to be the one process that answers from a database. In this
// release one node answers; two that did not know of each other would each go on
// accepting what the other has revoked.
type Claim struct {
	lost    chan struct{}
	release func() error
}

// Lost is closed when the claim may have passed to somebody else: whoever holds
// it stops answering at once. On SQLite that does not happen.
func (c *Claim) Lost() <-chan struct{} { return c.lost }

// Release gives the claim up. It also ends with the process.
func (c *Claim) Release() error { return c.release() }

// NewClaim takes the claim on the database at url, without waiting: when another
// process has it, the error says so in words. It is not inherited by processes
// that this one starts.
func NewClaim(ctx context.Context, url string) (*Claim, error) {
	claim, err := newClaim(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return claim, nil
}

func newClaim(ctx context.Context, url string) (*Claim, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok && path != "" {
		path, err := realPath(path)
		if err != nil {
			return nil, fmt.Errorf("find the database file: %w", err)
		}
		return claimFile(path)
	}
	if isPostgres(url) {
		return claimServer(ctx, url)
	}
	return nil, errBadScheme
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

var errBadScheme = errors.New("the store's URL must be sqlite:PATH or postgres://…")
