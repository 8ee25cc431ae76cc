package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program is one file that needs no C library, and small enough to be carried
// about: built as `make build` does.
func TestProgramIsOneSmallFile(t *testing.T) {
	const most = 45_000_000 // bytes
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	told, err := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", root, "-n", "build").Output()
	if err != nil || !strings.Contains(string(told), "CGO_ENABLED=0") {
		t.Fatalf("make build would run %q, %v; want no C", told, err)
	}
	file := filepath.Join(t.TempDir(), "postern")
	build := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(string(told), "bin/postern", file, 1))
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > most {
		t.Errorf("it has %d bytes, want %d at most", info.Size(), most)
	}
}
