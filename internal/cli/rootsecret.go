package cli

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/posternhq/postern/internal/config"
)

// rootSecretLen is the length of the root secret in bytes.
const rootSecretLen = 32

// metaStore is the part of a store that keeps what is said about it as a whole.
type metaStore interface {
	// Meta returns a value, or an empty one when it was never set.
	Meta(ctx context.Context, key string) (string, error)
	SetMeta(ctx context.Context, key, value string) error
}

// fingerprintKey names the fingerprint of the root secret that goes with a store.
const fingerprintKey = "secret_fingerprint"

// missingSecret is what is done about a root secret that is not there, where nothing
// has been signed with it.
type missingSecret int

const (
	leaveMissing missingSecret = iota
	makeMissing
)

// rootSecret returns the deployment's root secret and makes sure that it is the
// one that goes with the store. A store that is empty needs none yet: what it gets
// lasts as long as this process.
func rootSecret(ctx context.Context, cfg config.Config, rows metaStore, initialized bool, missing missingSecret) ([]byte, error) {
	path := cfg.SecretPath()
	secret, err := readRootSecret(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && missing == makeMissing && !initialized:
		secret, err = makeRootSecret(path)
	case errors.Is(err, fs.ErrNotExist) && !initialized && !cfg.Postgres():
		return newRootSecret(), nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("the root secret %s is missing: without it nothing that this deployment signed can be read; put the file back from its backup", path)
	}
	if err != nil {
		return nil, err
	}
	return secret, checkFingerprint(ctx, rows, secret, path)
}

func newRootSecret() []byte {
	secret := make([]byte, rootSecretLen)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the process instead
	return secret
}

// makeRootSecret writes a new secret to a file that only its owner may read, and
// that must not be there yet.
func makeRootSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the root secret: %w", err)
	}
	secret := newRootSecret()
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("make the root secret: %w", err), os.Remove(path))
	}
	return secret, nil
}

func readRootSecret(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the root secret: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) < rootSecretLen {
		return nil, usagef("%s is no root secret: it must hold at least %d random bytes in base64", path, rootSecretLen)
	}
	return secret, nil
}

// checkFingerprint compares the secret with the fingerprint in the store, and
// writes it there the first time.
func checkFingerprint(ctx context.Context, meta metaStore, secret []byte, path string) error {
	got, missing, err := compareFingerprint(ctx, meta, secret, path)
	if err != nil || !missing {
		return err
	}
	return meta.SetMeta(ctx, fingerprintKey, got)
}

// compareFingerprint returns the secret's fingerprint, and whether the store has
// none yet. A store that has another is an error.
func compareFingerprint(ctx context.Context, meta metaStore, secret []byte, path string) (got string, missing bool, err error) {
	if got, err = fingerprint(secret); err != nil {
		return "", false, err
	}
	want, err := meta.Meta(ctx, fingerprintKey)
	switch {
	case err != nil:
		return got, false, fmt.Errorf("read the fingerprint of the root secret: %w", err)
	case want == "":
		return got, true, nil
	case subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1:
		return got, false, usagef("%s is not the root secret that goes with this store: name the right one with --secret-file", path)
	}
	return got, false, nil
}

// fingerprint returns what tells one root secret from another and does not help
// to find either.
func fingerprint(secret []byte) (string, error) {
	sum, err := hkdf.Key(sha256.New, secret, nil, "fingerprint", 16)
	if err != nil {
		return "", fmt.Errorf("derive the fingerprint of the root secret: %w", err)
	}
	return hex.EncodeToString(sum), nil
}
