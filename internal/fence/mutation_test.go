package fence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Each guard of the protocol is taken out of the code, one at a time, and the
// simulator or a test must notice. The code that is tested here is the product's,
// with the patches of this package built in; the product itself has no switches.
func TestEveryMutationIsCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("what it starts is built without the race detector, which -short is for")
	}
	if mutated() != "" {
		t.Fatal("this is a mutant already")
	}
	program := buildMutants(t)
	if out, err := runMutant(t, program, mutation{}, 20); err != nil {
		t.Fatalf("with nothing taken out it fails: %v\n%s", err, out)
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			out, err := runMutant(t, program, m, 2000)
			if _, failed := errors.AsType[*exec.ExitError](err); !failed {
				t.Fatalf("nothing noticed: %v\n%s", err, out)
			}
			if !strings.Contains(out, "--- FAIL") || strings.Contains(out, "panic") {
				t.Fatalf("it failed for another reason:\n%s", out)
			}
			t.Log(firstFailure(out))
		})
	}
}

// The code moves on; a patch that is left behind is noticed in no time, also where
// the mutants do not run.
func TestEveryPatchFitsTheCode(t *testing.T) { patched(t) }

// runMutant runs what is to notice a mutation.
func runMutant(t *testing.T, program string, m mutation, seeds int) (string, error) {
	t.Helper()
	test := m.test
	if test == "" {
		test = "TestThePromisesHold"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^"+test+"$", "-seeds", strconv.Itoa(seeds))
	cmd.Env = append(os.Environ(), "POSTERN_MUTATION="+m.name, "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func firstFailure(out string) string {
	for line := range strings.SplitSeq(out, "\n") {
		if strings.Contains(line, "_test.go:") && !strings.Contains(line, "simulated") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// buildMutants builds this package's tests with all patches, each of which asks
// whether it is the one that was chosen.
func buildMutants(t *testing.T) (program string) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	put := func(path string, text []byte) {
		original, err := filepath.Abs(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(replace[original], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range patched(t) {
		put(path, text)
	}
	for path, text := range helpers {
		put(path, []byte(text))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "fence.test")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", list, "-o", program, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// patched returns the files with all patches in them. A patch that no longer fits
// fails the test: it has to follow the code.
func patched(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	all := ""
	for _, p := range patches {
		text, read := files[p.file]
		if !read {
			var err error
			if text, err = os.ReadFile(filepath.Join("..", p.file)); err != nil {
				t.Fatal(err)
			}
		}
		if n := bytes.Count(text, []byte(p.old)); n != 1 {
			t.Fatalf("%s has %d places for this patch, want one:\n%s", p.file, n, p.old)
		}
		files[p.file] = bytes.Replace(text, []byte(p.old), []byte(p.new), 1)
		all += p.new
	}
	for _, m := range mutations {
		if !strings.Contains(all, `mutant("`+m.name+`")`) && spoiled[m.name] == nil && m.test == "" {
			t.Errorf("nothing makes the mutation %q", m.name)
		}
	}
	return files
}
