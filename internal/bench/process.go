package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// process is a measured process, seen from the one that measures. It ends with
// [process.end], and by itself when this process ends, however that is.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
	said    bytes.Buffer // on its stderr

	doors       map[string]address
	bytesPerKey float64
	caller      string
	texts       []byte // of the keys that are asked about, one after the other
	length      int    // of each
}

// start starts a process that has some keys and serves them.
func start(ctx context.Context, command func(ctx context.Context) (*exec.Cmd, error), keys int) (_ *process, err error) {
	cmd, err := command(ctx)
	if err != nil {
		return nil, fmt.Errorf("start what is measured: %w", err)
	}
	p := &process{cmd: cmd}
	cmd.Stderr = &p.said
	cmd.WaitDelay = time.Second
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start what is measured: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start what is measured: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start what is measured: %w", err)
	}
	p.orders, p.answers = json.NewEncoder(p.in), json.NewDecoder(out)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.end())
		}
	}()
	if err := p.orders.Encode(order{Do: "load", Keys: keys}); err != nil {
		return nil, fmt.Errorf("tell what is measured what to load: %w", err)
	}
	caller, texts, err := newDeployment(keys).texts() // while the other loads
	if err != nil {
		return nil, err
	}
	p.caller, p.texts, p.length = caller, []byte(strings.Join(texts, "")), len(caller)
	loaded, err := p.answer()
	if err != nil {
		return nil, err
	}
	p.doors, p.bytesPerKey = loaded.Addresses, loaded.BytesPerKey
	return p, nil
}

func (p *process) ask(o order) (outcome, error) {
	if err := p.orders.Encode(o); err != nil {
		return outcome{}, fmt.Errorf("ask what is measured: %w", err)
	}
	return p.answer()
}

func (p *process) answer() (outcome, error) {
	var got outcome
	if err := p.answers.Decode(&got); err != nil {
		return outcome{}, fmt.Errorf("what is measured does not answer: %w", err)
	}
	if got.Error != "" {
		return outcome{}, fmt.Errorf("what is measured: %s", got.Error)
	}
	return got, nil
}

// end ends the process, and waits until it has.
func (p *process) end() error {
	_ = p.in.Close() // which it may have done itself
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("what was measured ended: %w: %.300s", err, strings.TrimSpace(p.said.String()))
	}
	return nil
}

// target returns a door of the process as it is called.
func (p *process) target(name string) (*target, error) {
	at, known := p.doors[name]
	if !known {
		return nil, fmt.Errorf("there is no door %q", name)
	}
	t := &target{name: name, network: at.Network, address: at.Address, speak: speakHTTP}
	var err error
	switch name {
	case doorBareHTTP:
		t.asks = verifyCalls("/", p.caller, p.texts, p.length)
	case doorBatch:
		t.asks = batchCalls(p.caller, p.texts, p.length, batchKeys)
	case doorUnix:
		t.asks = authorizeCalls(p.texts, p.length)
	case doorBareGRPC, doorEnvoy:
		t.speak = speakGRPC
		t.asks, err = checkCalls(p.texts, p.length)
	default:
		t.asks = verifyCalls("/v1/verify", p.caller, p.texts, p.length)
	}
	return t, err
}

// batchKeys is how many keys one call of /v1/verify/batch has.
const batchKeys = 1000

// measure calls a door for a while, and returns what came of it and what it took of
// the process's processors.
func (p *process) measure(ctx context.Context, name string, connections int, span time.Duration) (*sample, error) {
	t, err := p.target(name)
	if err != nil {
		return nil, err
	}
	before, err := p.ask(order{Do: "cpu"})
	if err != nil {
		return nil, err
	}
	l, err := drive(ctx, t, connections, span)
	if err != nil {
		return nil, err
	}
	after, err := p.ask(order{Do: "cpu"})
	if err != nil {
		return nil, err
	}
	if l.calls == 0 {
		return nil, fmt.Errorf("%s: no call was answered: %w", name, l.why)
	}
	return &sample{load: l, cpu: after.CPU - before.CPU}, nil
}

// sample is one measurement of one door.
type sample struct {
	*load
	cpu time.Duration // of the measured process
}

// perCall returns the microseconds of a processor that a call took.
func (s *sample) perCall() float64 {
	return float64(s.cpu) / float64(time.Microsecond) / float64(s.calls)
}
