package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// storedContext is a server that the commands know by a name. Its key is kept
// elsewhere: see [vault].
type storedContext struct {
	Server    string `json:"server"`
	Workspace string `json:"workspace,omitempty"`
	PlainHTTP bool   `json:"plain_http,omitempty"`

	// Login is the id of the key, if postern login made it: then it is revoked when
	// another takes its place. Whoever brought a key of their own goes on using it.
	Login string `json:"login,omitempty"`
}

// contexts is the file that holds them.
type contexts struct {
	Current  string                   `json:"current,omitempty"`
	Contexts map[string]storedContext `json:"contexts"`
}

// configDir returns the folder where this user's contexts are.
func (a *app) configDir() (string, error) {
	base := a.env["XDG_CONFIG_HOME"]
	if runtime.GOOS == "windows" {
		base = a.env["AppData"]
	}
	if base == "" && a.env["HOME"] != "" {
		base = filepath.Join(a.env["HOME"], ".config")
	}
	if !filepath.IsAbs(base) {
		return "", failf(exitFailed, "there is no folder for contexts: HOME is not set")
	}
	return filepath.Join(base, "postern"), nil
}

const contextsFile = "contexts.json"

// loadContexts returns what is stored, or nothing when nothing is.
func (a *app) loadContexts() (contexts, error) {
	none := contexts{Contexts: map[string]storedContext{}}
	dir, err := a.configDir()
	if err != nil {
		return none, err
	}
	path := filepath.Join(dir, contextsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	} else if err != nil {
		return none, fmt.Errorf("read the contexts: %w", err)
	}
	all := none
	if err := json.Unmarshal(text, &all); err != nil {
		return none, fmt.Errorf("read the contexts in %s: %w", path, err)
	}
	if all.Contexts == nil {
		all.Contexts = none.Contexts
	}
	return all, nil
}

func (a *app) saveContexts(all contexts) error {
	dir, err := a.configDir()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := writePrivate(filepath.Join(dir, contextsFile), append(text, '\n')); err != nil {
		return fmt.Errorf("write the contexts: %w", err)
	}
	return nil
}

// currentContext returns the context that this run uses: the one that a flag or
// a variable names, else the one that is current, else none.
func (a *app) currentContext() (name string, c storedContext, err error) {
	wanted := cmp.Or(a.global.context, a.env["POSTERN_CONTEXT"])
	all, err := a.loadContexts()
	if err != nil {
		if wanted == "" && a.env["HOME"] == "" {
			return "", c, nil // nobody's own folder: variables and flags say all
		}
		return "", c, err
	}
	name = cmp.Or(wanted, all.Current)
	c, ok := all.Contexts[name]
	if !ok && wanted != "" {
		return "", c, unknownContext(name)
	}
	return name, c, nil
}

func unknownContext(name string) error {
	return failf(exitNotFound, "there is no context %s; postern context list shows those there are", safe(name))
}

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// putContext stores a context and its key. It becomes the current one when asked
// to, or when there is none.
func (a *app) putContext(name string, c storedContext, use bool) (current bool, err error) {
	all, err := a.loadContexts()
	if err != nil {
		return false, err
	}
	all.Contexts[name] = c
	if _, there := all.Contexts[all.Current]; use || !there {
		all.Current = name
	}
	return all.Current == name, a.saveContexts(all)
}

// writePrivate replaces a file in one step by one that only its owner may read,
// and makes the folder when it is missing.
func writePrivate(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := newReplacement(path)
	if err != nil {
		return err
	}
	defer f.discard()
	return f.replace(text)
}
