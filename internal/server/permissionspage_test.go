package server_test

import (
	"os"
	"testing"
)

func TestGoldenPageOfPermissionsIsWhatTheTableSays(t *testing.T) {
	const path = "../../docs/reference/permissions.md"
	got := newWorld(t, "sqlite:"+t.TempDir()+"/postern.db").server.PermissionsPage()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the table says; run make generate:\n%s", path, got)
	}
}
