package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/posternhq/postern/internal/token"
)

// vault keeps the keys of contexts between runs.
type vault interface {
	// usable reports whether there is such a thing on this machine.
	usable() bool
	// get returns the key of a context, or errNoKey.
	get(name string) (token.Secret, error)
	// set keeps a key in the place of an earlier one.
	set(name string, key token.Secret) error
	// remove forgets a key. That there is none is not an error.
	remove(name string) error
}

var errNoKey = errors.New("no key is kept")

// vaultWait is how long a keyring may take, which may be asking its user.
const vaultWait = 20 * time.Second

// newVaults returns where keys may be: a keyring is tried first, a file serves
// where there is none.
func (a *app) newVaults() []vault {
	return []vault{keyringVault{a}, fileVault{a}}
}

// storedKey returns the key of a context; none when it has none.
func (a *app) storedKey(ctx context.Context, name string) (token.Secret, error) {
	if name == "" {
		return token.Secret{}, nil
	}
	var failed error
	for _, v := range a.vaults {
		if !v.usable() {
			continue
		}
		key, err := bounded(ctx, func() (token.Secret, error) { return v.get(name) })
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, errNoKey) {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return token.Secret{}, fmt.Errorf("look for the key of context %s: %w", name, failed)
	}
	return token.Secret{}, nil
}

// keepKey stores the key of a context in the first place that takes it, and
// forgets what the others have.
func (a *app) keepKey(ctx context.Context, name string, key token.Secret) error {
	var failed error
	kept := false
	for _, v := range a.vaults {
		if !v.usable() {
			continue
		}
		_, err := bounded(ctx, func() (struct{}, error) {
			if kept {
				return struct{}{}, v.remove(name)
			}
			return struct{}{}, v.set(name, key)
		})
		kept = kept || err == nil
		failed = errors.Join(failed, err)
	}
	if !kept {
		return fmt.Errorf("keep the key of context %s: %w", name, failed)
	}
	return nil
}

// forgetKey removes the key of a context wherever it is.
func (a *app) forgetKey(ctx context.Context, name string) error {
	var failed error
	for _, v := range a.vaults {
		if v.usable() {
			_, err := bounded(ctx, func() (struct{}, error) { return struct{}{}, v.remove(name) })
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// bounded runs fn, which cannot be stopped, for as long as one may wait for it.
func bounded[T any](ctx context.Context, fn func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, vaultWait)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() { // ends with fn, at the latest with the process
		value, err := fn()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("the keyring does not answer: %w", ctx.Err())
	}
}

// keyringVault is the keyring of the user's desktop.
type keyringVault struct{ a *app }

const keyringService = "postern"

// usable is false where asking for a keyring would start one: on a server, and
// wherever else there is no desktop session.
func (v keyringVault) usable() bool {
	switch runtime.GOOS {
	case "darwin", "windows":
		return true
	}
	return v.a.env["DBUS_SESSION_BUS_ADDRESS"] != ""
}

func (v keyringVault) get(name string) (token.Secret, error) {
	text, err := keyring.Get(keyringService, name)
	if errors.Is(err, keyring.ErrNotFound) {
		return token.Secret{}, errNoKey
	}
	return token.NewSecret(text), err
}

func (v keyringVault) set(name string, key token.Secret) error {
	return keyring.Set(keyringService, name, key.Reveal())
}

func (v keyringVault) remove(name string) error {
	if err := keyring.Delete(keyringService, name); !errors.Is(err, keyring.ErrNotFound) {
		return err
	}
	return nil
}

// fileVault is a file that only its owner may read.
type fileVault struct{ a *app }

const keysFile = "keys.json"

func (v fileVault) usable() bool { return true }

func (v fileVault) load() (keys map[string]string, path string, err error) {
	dir, err := v.a.configDir()
	if err != nil {
		return nil, "", err
	}
	path = filepath.Join(dir, keysFile)
	keys = map[string]string{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return keys, path, nil
	} else if err != nil {
		return nil, path, err
	}
	if json.Unmarshal(text, &keys) != nil { // its error could repeat a key
		return nil, path, fmt.Errorf("%s is not what was written there", path)
	}
	return keys, path, nil
}

func (v fileVault) save(path string, keys map[string]string) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	return writePrivate(path, append(text, '\n'))
}

func (v fileVault) get(name string) (token.Secret, error) {
	keys, _, err := v.load()
	if err != nil {
		return token.Secret{}, err
	}
	if text, ok := keys[name]; ok {
		return token.NewSecret(text), nil
	}
	return token.Secret{}, errNoKey
}

func (v fileVault) set(name string, key token.Secret) error {
	keys, path, err := v.load()
	if err != nil {
		return err
	}
	keys[name] = key.Reveal()
	return v.save(path, keys)
}

func (v fileVault) remove(name string) error {
	keys, path, err := v.load()
	if err != nil {
		return err
	}
	if _, ok := keys[name]; !ok {
		return nil
	}
	delete(keys, name)
	return v.save(path, keys)
}
