package chaos

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// groupLifetime ends all processes of its group, stopped ones too, when its standard
// input ends: when the group is closed, or this process dies, however that comes about.
const groupLifetime = `read -r _; kill -KILL 0`

// Group is of processes that do not outlive this one.
type Group struct {
	guard *exec.Cmd
	hold  io.Closer // all end when this closes
}

// NewGroup returns a group without processes. It must be closed.
func NewGroup() (*Group, error) {
	g := &Group{guard: exec.Command("sh", "-c", groupLifetime)}
	g.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if g.hold, err = g.guard.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.guard.Start(); err != nil {
		return nil, fmt.Errorf("start the guard of a group: %w", err)
	}
	return g, nil
}

// Start starts a command in the group.
func (g *Group) Start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.guard.Process.Pid}
	return cmd.Start()
}

// Close ends all processes of the group.
func (g *Group) Close() {
	_ = g.hold.Close() // which kills them
	_ = g.guard.Wait() // it kills itself
}
