package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/posternhq/postern/internal/config"
)

// meta is what a store keeps about itself.
type meta map[string]string

func (m meta) Meta(_ context.Context, key string) (string, error) { return m[key], nil }

func (m meta) SetMeta(_ context.Context, key, value string) error {
	m[key] = value
	return nil
}

func isUsage(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.code == exitUsage
}

func TestRootSecretIsMadeOnceForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.secret")
	cfg := config.Config{StoreURL: "sqlite:x.db", SecretFile: path}
	rows := meta{}
	made, err := rootSecret(t.Context(), cfg, rows, false, makeMissing)
	if err != nil || len(made) != rootSecretLen {
		t.Fatalf("%d bytes, %v", len(made), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	again, err := rootSecret(t.Context(), cfg, rows, true, leaveMissing)
	if err != nil || !bytes.Equal(made, again) {
		t.Errorf("read back: %v, the same: %t", err, bytes.Equal(made, again))
	}
	if _, err := makeRootSecret(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("made over the first: %v", err)
	}
}

func TestRootSecretOfAnotherStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	rows := meta{}
	cfg := config.Config{StoreURL: "sqlite:x.db", SecretFile: filepath.Join(dir, "one")}
	if _, err := rootSecret(t.Context(), cfg, rows, false, makeMissing); err != nil {
		t.Fatal(err)
	}
	cfg.SecretFile = filepath.Join(dir, "two")
	if _, err := makeRootSecret(cfg.SecretFile); err != nil {
		t.Fatal(err)
	}
	if _, err := rootSecret(t.Context(), cfg, rows, true, leaveMissing); !isUsage(err) {
		t.Errorf("got %v, want a refusal in words", err)
	}
}

func TestMissingRootSecretIsNotMadeForAStoreInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.secret")
	for _, tt := range []struct {
		name        string
		store       string
		initialized bool
		missing     missingSecret
		refused     bool
	}{
		{name: "serve, in use", store: "sqlite:x.db", initialized: true, refused: true},
		{name: "dev, in use", store: "sqlite:x.db", initialized: true, missing: makeMissing, refused: true},
		{name: "serve, empty", store: "sqlite:x.db"},
		{name: "serve, empty, PostgreSQL", store: "postgres://h/db", refused: true},
		{name: "serve, in use, PostgreSQL", store: "postgres://h/db", initialized: true, refused: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Config{StoreURL: tt.store, SecretFile: path}
			secret, err := rootSecret(t.Context(), cfg, meta{}, tt.initialized, tt.missing)
			if isUsage(err) != tt.refused || !tt.refused && len(secret) != rootSecretLen {
				t.Errorf("%d bytes, %v; want refused: %t", len(secret), err, tt.refused)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a file was made: %v", err)
			}
		})
	}
}

func TestFileThatHoldsNoRootSecretIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.secret")
	for name, text := range map[string]string{
		"empty": "", "short": "c2hvcnQ=\n", "not base64": "this is a passphrase of more than thirty-two characters",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readRootSecret(path); !isUsage(err) {
				t.Errorf("got %v, want a refusal in words", err)
			}
		})
	}
}

func TestFingerprintTellsSecretsApartAndIsNoneOfThem(t *testing.T) {
	a, b := newRootSecret(), newRootSecret()
	fa, err := fingerprint(a)
	if err != nil {
		t.Fatal(err)
	}
	fb, err := fingerprint(b)
	if err != nil || fa == fb || len(fa) != 32 {
		t.Errorf("fingerprints %q and %q, %v", fa, fb, err)
	}
}
