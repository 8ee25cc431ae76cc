package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/token"
)

// shelf is a keyring that may be broken.
type shelf struct {
	keys   map[string]token.Secret
	broken error
}

func (s shelf) usable() bool { return true }

func (s shelf) get(name string) (token.Secret, error) {
	if key, ok := s.keys[name]; ok && s.broken == nil {
		return key, nil
	}
	return token.Secret{}, errors.Join(errNoKey, s.broken)
}

func (s shelf) set(name string, key token.Secret) error {
	if s.broken == nil {
		s.keys[name] = key
	}
	return s.broken
}

func (s shelf) remove(name string) error {
	delete(s.keys, name)
	return s.broken
}

func TestKeyIsKeptInTheKeyringElseInTheFile(t *testing.T) {
	for _, broken := range []error{nil, errors.New("locked")} {
		a := newApp(Program{Environ: []string{"HOME=" + t.TempDir()}})
		ring := shelf{map[string]token.Secret{}, broken}
		a.vaults = []vault{ring, fileVault{a}}
		if err := a.keepKey(t.Context(), "home", token.NewSecret("the key")); err != nil {
			t.Fatal(err)
		}
		got, err := a.storedKey(t.Context(), "home")
		if err != nil || got.Reveal() != "the key" {
			t.Errorf("broken %v: got %q, %v", broken, got.Reveal(), err)
		}
		_, err = fileVault{a}.get("home")
		if inFile := err == nil; inFile != (broken != nil) {
			t.Errorf("broken %v: in the file %t", broken, inFile)
		}
	}
}

// A key that moved to the keyring does not stay in the file.
func TestKeyIsKeptInOnePlace(t *testing.T) {
	a := newApp(Program{Environ: []string{"HOME=" + t.TempDir()}})
	if err := (fileVault{a}).set("home", token.NewSecret("older")); err != nil {
		t.Fatal(err)
	}
	a.vaults = []vault{shelf{map[string]token.Secret{}, nil}, fileVault{a}}
	if err := a.keepKey(t.Context(), "home", token.NewSecret("newer")); err != nil {
		t.Fatal(err)
	}
	if _, err := (fileVault{a}).get("home"); !errors.Is(err, errNoKey) {
		t.Errorf("the file still has it: %v", err)
	}
}

func TestDamagedKeyFileIsSaidWithoutItsText(t *testing.T) {
	home := t.TempDir()
	a := newApp(Program{Environ: []string{"HOME=" + home}})
	if err := (fileVault{a}).set("home", token.NewSecret("hunter2hunter2")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, ".config", "postern", keysFile)
	if err := os.WriteFile(path, []byte(`{"home": hunter2hunter2`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.storedKey(t.Context(), "home"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the key", err)
	}
}
