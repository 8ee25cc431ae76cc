package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/posternhq/postern/internal/replica"
)

// order is what the measuring process asks of the measured one: one line of JSON,
// answered by one.
type order struct {
	Do   string        `json:"do"` // load, cpu or verify
	Keys int           `json:"keys,omitempty"`
	For  time.Duration `json:"for,omitempty"`
}

// outcome is the answer to an order.
type outcome struct {
	Error string `json:"error,omitempty"`

	Addresses   map[string]address `json:"addresses,omitempty"` // of load
	BytesPerKey float64            `json:"bytes_per_key,omitempty"`
	CPU         time.Duration      `json:"cpu,omitempty"`    // that the process has had
	Verify      *inProcess         `json:"verify,omitempty"` // of verify
}

// measured is the process that is measured: it has a replica and serves it.
type measured struct {
	folder  string
	replica *replica.Replica
	doors   *doors
	library *library
}

// Measured is the life of the process that is measured. It does what it is told on in
// and answers on out, until in ends, which it also does when the other process dies.
func Measured(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	folder, err := socketFolder()
	if err != nil {
		return fmt.Errorf("make a folder for sockets: %w", err)
	}
	m := &measured{folder: folder}
	defer func() {
		if m.doors != nil {
			err = errors.Join(err, m.doors.close())
		}
		err = errors.Join(err, os.RemoveAll(folder))
	}()
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what to do: %w", err)
		}
		answer, err := m.do(ctx, o)
		if err != nil {
			answer = outcome{Error: err.Error()}
		}
		if err := answers.Encode(answer); err != nil {
			return fmt.Errorf("tell what was done: %w", err)
		}
	}
}

// socketFolder makes a folder that sockets can be in: the path of one has at most 103
// bytes (<sys/un.h>), and that of a folder for temporary files may be longer.
func socketFolder() (string, error) {
	const pattern, longest = "postern-bench-", 103 - len("/0123456789/gateway.sock")
	parent := os.TempDir()
	if len(parent)+len("/")+len(pattern) > longest {
		parent = "/tmp"
	}
	return os.MkdirTemp(parent, pattern)
}

func (m *measured) do(ctx context.Context, o order) (outcome, error) {
	switch {
	case o.Do == "load" && m.doors == nil:
		return m.load(ctx, o.Keys)
	case o.Do == "cpu":
		cpu, err := cpuTime()
		return outcome{CPU: cpu}, err
	case o.Do == "verify" && m.replica != nil:
		if m.library == nil {
			m.library = newLibrary(m.replica, o.Keys)
		}
		v, err := m.library.measure(o.For)
		return outcome{Verify: v}, err
	}
	return outcome{}, fmt.Errorf("nobody knows how to %q now", o.Do)
}

func (m *measured) load(ctx context.Context, keys int) (outcome, error) {
	before := heap()
	m.replica = replica.New(replica.Options{Node: "bench"})
	if err := m.replica.Load(ctx, newDeployment(keys)); err != nil {
		return outcome{}, err
	}
	after := heap()
	var err error
	if m.doors, err = openDoors(m.replica, m.folder); err != nil {
		return outcome{}, err
	}
	return outcome{Addresses: m.doors.addresses, BytesPerKey: (float64(after) - float64(before)) / float64(keys)}, nil
}

// heap returns how many bytes of the heap are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one found may be freed by the second only
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpuTime returns for how long this process has had a processor.
func cpuTime() (time.Duration, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("ask how long this process has run: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}
