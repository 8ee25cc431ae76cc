package main

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
)

// The program is one file that needs no C library, and small enough to be carried
// about: built as `make build` does.
func TestProgramIsOneSmallFile(t *testing.T) {
	if testing.Short() {
		t.Skip("what it starts is built without the race detector, which -short is for")
	}
	t.Parallel()
	const most = 45_000_000 // bytes
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "postern")
	build := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", root, "build", "PROGRAM="+file)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	told, err := buildinfo.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(told.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "0"}) {
		t.Errorf("it was built with %v, want no C", told.Settings)
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
