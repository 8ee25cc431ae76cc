package main

import (
	"testing"

	"github.com/posternhq/postern/internal/store/storetest"
)

func TestWithpgPassesTheServerOnAndEndsWithTheCommandsExitCode(t *testing.T) {
	script := "case $" + storetest.PostgresEnv + " in postgres://*) exit 7 ;; *) exit 1 ;; esac"
	if got := run([]string{"--", "sh", "-c", script}); got != 7 {
		t.Errorf("exit code %d, want the command's 7", got)
	}
}

func TestWithpgWithoutACommandIsWrongUse(t *testing.T) {
	if got := run(nil); got != 2 {
		t.Errorf("exit code %d, want 2", got)
	}
}
