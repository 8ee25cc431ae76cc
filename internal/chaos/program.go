package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build builds the program from this module into a folder, and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	return build(ctx, filepath.Join(dir, "postern"))
}

// The check that a lease still lives, and what stands in its place in the program
// that must fail: whoever has had a lease goes on answering.
const (
	leaseFile  = "internal/replica/lease.go"
	leaseCheck = "case passed < l.Strict:"
	noCheck    = "case l.Strict > 0 && passed == passed:"
)

// BuildWithoutLeases builds a program in which a lease never ends, from the same
// sources but for one line. The product has no switch for it.
func BuildWithoutLeases(ctx context.Context, dir string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, leaseFile)
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	without, err := withoutCheck(string(text))
	if err != nil {
		return "", err
	}
	patched := filepath.Join(dir, "lease.go")
	if err := os.WriteFile(patched, []byte(without), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: patched}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	return build(ctx, filepath.Join(dir, "postern-without-leases"), "-overlay", file)
}

// withoutCheck returns the text of the file with the check without it.
func withoutCheck(text string) (string, error) {
	if n := strings.Count(text, leaseCheck); n != 1 {
		return "", fmt.Errorf("%s has %q %d times, and not once: see where the lease is checked now", leaseFile, leaseCheck, n)
	}
	return strings.Replace(text, leaseCheck, noCheck, 1), nil
}

func build(ctx context.Context, path string, flags ...string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	args := append([]string{"build", "-o", path}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/postern")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
