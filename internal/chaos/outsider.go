package chaos

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Outsider is a verifier in a process of its own, which follows a node. It is safe
// for concurrent use; one caller at a time starts, stops and kills it.
type Outsider struct {
	Door  Door
	Proxy *Proxy // that it reaches its node through; nil: it has the addresses of all nodes

	group   *Group
	command []string
	env     []string
	log     string // the file that it logs to
	clock   Clock
	struck  int // how often something was done to this process

	mu      sync.Mutex // guards what follows
	process *process   // the present one, which may have ended
}

// process is one life of an outsider.
type process struct {
	cmd   *exec.Cmd
	in    *os.File
	ended chan struct{} // closed when it has ended and every question has its answer

	mu      sync.Mutex // guards what follows
	waiting []*batch   // that were asked, in this order, and not answered
	over    bool       // nothing is answered any more
}

// batch is a line of questions, about one subject after the other.
type batch struct {
	subjects []*Subject
	begun    time.Duration
}

// questions returns how many there are.
func (b *batch) questions() (n int) {
	for _, s := range b.subjects {
		n += len(s.questions)
	}
	return n
}

// line returns the batch as it is asked.
func (b *batch) line() string {
	var text strings.Builder
	for _, s := range b.subjects {
		for _, q := range s.questions {
			text.WriteString(strings.Join(append([]string{q.Key}, q.Permissions...), ",") + " ")
		}
	}
	return text.String() + "\n"
}

// record hands the codes of an answer to the subjects.
func (b *batch) record(d Door, ended time.Duration, codes []Code) {
	if len(codes) != b.questions() {
		codes = all(b.questions(), Code("not as many answers as questions"))
	}
	for _, s := range b.subjects {
		s.record(d, asked{begun: b.begun, ended: ended, apart: true}, codes[:len(s.questions)])
		s.asking.Done()
		codes = codes[len(s.questions):]
	}
}

// Start starts the process, which follows its node as soon as that can be reached.
func (o *Outsider) Start() error {
	log, err := os.OpenFile(o.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = theirs.Close() }() // the process has its own
	cmd := exec.Command(o.command[0], o.command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stderr = o.env, theirs, log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = o.group.Start(cmd)
	}
	if err != nil {
		return fmt.Errorf("start %v %w", o.Door, errors.Join(err, ours.Close()))
	}
	p := &process{cmd: cmd, in: ours, ended: make(chan struct{})}
	go func() { // ends with the process
		defer close(p.ended)
		o.hear(p, bufio.NewReaderSize(out, 64<<10))
		_ = cmd.Wait() // how it ended is in its log
		_ = p.in.Close()
	}()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.process, o.struck = p, 0
	return nil
}

// hear records what a process answers, until it has ended.
func (o *Outsider) hear(p *process, out *bufio.Reader) {
	for {
		line, err := out.ReadString('\n')
		ended := o.clock.Now()
		if err != nil {
			break
		}
		var codes []Code
		for code := range strings.FieldsSeq(line) {
			codes = append(codes, Code(code))
		}
		if b := p.next(); b != nil {
			b.record(o.Door, ended, codes)
		}
	}
	p.mu.Lock()
	left := p.waiting
	p.waiting, p.over = nil, true
	p.mu.Unlock()
	for _, b := range left {
		b.record(o.Door, o.clock.Now(), all(b.questions(), Silent))
	}
}

// next returns the batch that the next line answers, or nil.
func (p *process) next() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return nil
	}
	b := p.waiting[0]
	p.waiting = p.waiting[1:]
	return b
}

// mostWaiting is how many batches an outsider may owe an answer to: enough for one
// to be asked all the time while it is stopped.
const mostWaiting = 200

// Room reports whether the outsider may be asked something more.
func (o *Outsider) Room() bool {
	p := o.present()
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.over && len(p.waiting) < mostWaiting
}

// Owes returns for how long the outsider has owed an answer.
func (o *Outsider) Owes() time.Duration {
	p := o.present()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return 0
	}
	return o.clock.Now() - p.waiting[0].begun
}

// Ask asks about subjects, and does not wait for the answer. What is picked from a
// board is recorded, and Done with, when that comes, or the process has ended.
func (o *Outsider) Ask(subjects []*Subject) {
	p, b := o.present(), &batch{subjects: subjects, begun: o.clock.Now()}
	p.mu.Lock()
	over := p.over
	if !over {
		p.waiting = append(p.waiting, b)
	}
	p.mu.Unlock()
	if over {
		b.record(o.Door, o.clock.Now(), all(b.questions(), Silent))
		return
	}
	_, _ = p.in.WriteString(b.line()) // if it does not get there, the process has ended, and hear says so
}

func (o *Outsider) present() *process {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.process
}

// Signal sends the process a signal.
func (o *Outsider) Signal(signal syscall.Signal) error {
	p := o.present()
	select {
	case <-p.ended:
		return fmt.Errorf("%v has ended by itself: see %s", o.Door, o.log)
	default:
		return p.cmd.Process.Signal(signal)
	}
}

// Kill ends the process as a power failure would, and waits for it.
func (o *Outsider) Kill() {
	p := o.present()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// Close ends the process and its proxy.
func (o *Outsider) Close() {
	o.Kill()
	if o.Proxy != nil {
		o.Proxy.Close()
	}
}
