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
// Beside it is the verifier in a process of its own.
func Build(ctx context.Context, dir string) (string, error) { return build(ctx, dir) }

// beside returns the path of the verifier that was built with a program.
func beside(program string) string { return filepath.Join(filepath.Dir(program), "outside") }

// The check that a lease still lives, and what stands in its place in the program
// that must fail: whoever has had a lease goes on answering.
const (
	leaseFile  = "internal/replica/lease.go"
	leaseCheck = "case passed < l.Strict:"
	noCheck    = "case l.Strict > 0 && passed == passed:"
)

// BuildWithoutLeases builds a program, and a verifier, in which a lease never ends, from the same
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
	return build(ctx, dir, "-overlay", file)
}

// withoutCheck returns the text of the file with the check without it.
func withoutCheck(text string) (string, error) {
	if n := strings.Count(text, leaseCheck); n != 1 {
		return "", fmt.Errorf("%s has %q %d times, and not once: see where the lease is checked now", leaseFile, leaseCheck, n)
	}
	return strings.Replace(text, leaseCheck, noCheck, 1), nil
}

func build(ctx context.Context, dir string, flags ...string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/postern", "./internal/chaos/outside")...)
	// As the program is installed, also where a test that is built otherwise asks for
	// it, such as for the race detector: what it is made of has been compiled already.
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return filepath.Join(dir, "postern"), nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
