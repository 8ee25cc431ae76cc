// Command withpg runs a command while a temporary PostgreSQL server runs, whose
// URL it passes on in POSTERN_TEST_POSTGRES, so that all test binaries of a run
// share one server, and with a folder in memory for temporary files:
//
//	go run ./internal/store/storetest/withpg -- go test ./...
//
// It ends with the command's exit code.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"github.com/posternhq/postern/internal/store/storetest"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg -- COMMAND [ARGUMENT]…")
		return 2
	}
	// An interrupt at the terminal reaches the command too, which ends by it; the
	// server has to outlast the command.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	cluster, err := storetest.StartCluster(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := command(args, cluster.URL)
	if err := cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "withpg: stop PostgreSQL:", err)
		return max(code, 1)
	}
	return code
}

func command(args []string, url string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), storetest.PostgresEnv+"="+url)
	if dir := storetest.Memory(); dir != "" && os.Getenv(storetest.ClusterDirEnv) == "" {
		cmd.Env = append(cmd.Env, "GOTMPDIR="+os.TempDir(), "TMPDIR="+dir) // what is built stays on the disk
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1) // -1: a signal ended it
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return 1
	}
	return 0
}
