package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The process that started them is killed without a chance to clean up, while one
// of them is stopped.
func TestNothingOutlivesTheProcessThatStartedIt(t *testing.T) {
	if dir := os.Getenv("CHAOS_HOLD"); dir != "" {
		hold(t, dir)
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "CHAOS_HOLD="+t.TempDir()) // not its own, which it could not remove
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // open until the process is killed: it waits for it
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var node, other int
	var address string
	if _, err := fmt.Fscanln(bufio.NewReader(out), &node, &other, &address); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), urlAt(address))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }() // its server has ended
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	// The server ends the connection when it ends; nothing else answers here.
	if _, err := conn.Exec(t.Context(), `SELECT pg_sleep(30)`); err == nil {
		t.Error("the database still runs after 30 seconds")
	}
	end := time.Now().Add(30 * time.Second)
	for what, pid := range map[string]int{"the node": node, "the process of a group": other} {
		for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			if time.Now().After(end) {
				t.Fatalf("%s still runs after 30 seconds", what)
			}
			_ = pause(t.Context(), 10*time.Millisecond) // the loop looks
		}
	}
}

// hold starts a pair of servers, a node and a process of a group, stops the latter
// two, says where they are, and waits to be killed. Its files go into a folder.
func hold(t *testing.T, dir string) {
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	pair, err := StartPair(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode("node", program, dir, pair.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Start(), n.Signal(syscall.SIGSTOP)); err != nil {
		t.Fatal(err)
	}
	group, err := NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(program)
	if err := group.Start(other); err != nil {
		t.Fatal(err)
	}
	if err := other.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	fmt.Println(n.pid, other.Process.Pid, pair.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)         // until it is killed
	for _, held := range []any{pair, n, group} { // what nobody holds any more is collected, and ends
		runtime.KeepAlive(held)
	}
}
