package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	outsiderPace = 100 * time.Millisecond // of questions to each: fifty are to leave the machine something
	proxied      = 3                      // every so manieth reaches its node through a proxy, and is cut off
	mostStruck   = 2                      // then the process is killed: who is silent three times gets nothing for a minute
	pestered     = 4                      // outsiders to which something is done in each storm
)

// invite starts the verifiers in processes of their own.
func (r *Run) invite(ctx context.Context) (err error) {
	if r.plan.Outsiders == 0 {
		return nil
	}
	key, err := r.admit(ctx)
	if err != nil {
		return err
	}
	for i := range r.plan.Outsiders {
		o, err := r.newOutsider(i, key)
		if err != nil {
			return err
		}
		r.outsiders = append(r.outsiders, o)
		if err := o.Start(); err != nil {
			return err
		}
	}
	return nil
}

// admit makes the account of the verifiers, and returns its key.
func (r *Run) admit(ctx context.Context) (key string, err error) {
	c := r.clients[0]
	account := c.Change(ctx, http.MethodPost, workspace+"service_accounts", fields{"name": "verifiers", "role": "verifier"})
	made := c.Change(ctx, http.MethodPost, workspace+"service_accounts/"+account.ID+"/keys", fields{"name": "verifiers"})
	if made.Value == "" {
		return "", fmt.Errorf("make a key for verifiers: %d %s, %d %s", account.status, account.text, made.status, made.text)
	}
	return made.Value, nil
}

func (r *Run) newOutsider(number int, key string) (*Outsider, error) {
	o := &Outsider{Door: Door{Verifier, number, number % len(r.nodes)}, group: r.group, clock: r.clock}
	name := fmt.Sprintf("verifier-%d", number+1)
	o.log = filepath.Join(r.plan.Dir, name+".log")
	o.command = []string{r.plan.Outside, name}
	o.env = append(environment(r.plan.Dir), "POSTERN_KEY="+key, "GOMAXPROCS=1", "GOMEMLIMIT="+strconv.Itoa(32<<20))
	if number%proxied == 0 {
		var err error
		if o.Proxy, err = NewProxy(r.nodes[o.Door.Node].addr); err != nil {
			return nil, err
		}
		o.command = append(o.command, "http://"+o.Proxy.Addr())
		return o, nil
	}
	for i := range r.nodes { // its own first
		o.command = append(o.command, r.nodes[(o.Door.Node+i)%len(r.nodes)].URL())
	}
	return o, nil
}

// OutsideFault is one way in which things go wrong for a verifier outside for a
// while.
type OutsideFault struct {
	Kind    string
	Proxied bool // only for those that a proxy stands before
	Do      func(ctx context.Context, r *Run, o *Outsider, random *rand.Rand) error
}

// OutsideFaults are all that this package knows.
func OutsideFaults() []OutsideFault {
	return []OutsideFault{
		{"verifier stopped (SIGSTOP, SIGCONT)", false, outsiderStopped},
		killing(),
		{"verifier cut off from its node", true, outsiderCutOff(Weather{HoldUp: true, HoldDown: true})},
		{"verifier half-open: the node hears nothing", true, outsiderCutOff(Weather{HoldUp: true})},
		{"verifier half-open: it hears nothing", true, outsiderCutOff(Weather{HoldDown: true})},
		{"verifier's connections reset", true, outsiderReset},
	}
}

// shortly waits for longer than a sub-lease lasts, or not quite.
func (r *Run) shortly(ctx context.Context, random *rand.Rand) {
	_ = pause(ctx, r.plan.TTL/3+time.Duration(random.Int64N(int64(2*r.plan.TTL)))) // what was done is undone at once
}

func killing() OutsideFault {
	return OutsideFault{"verifier killed (SIGKILL) and started", false, outsiderKilled}
}

func outsiderStopped(ctx context.Context, r *Run, o *Outsider, random *rand.Rand) error {
	if err := o.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	r.shortly(ctx, random)
	return o.Signal(syscall.SIGCONT)
}

func outsiderKilled(ctx context.Context, r *Run, o *Outsider, random *rand.Rand) error {
	o.Kill()
	r.shortly(ctx, random)
	return o.Start()
}

func outsiderCutOff(w Weather) func(context.Context, *Run, *Outsider, *rand.Rand) error {
	return func(ctx context.Context, r *Run, o *Outsider, random *rand.Rand) error {
		o.Proxy.Turn(w)
		r.shortly(ctx, random)
		o.Proxy.Turn(Weather{})
		return nil
	}
}

func outsiderReset(_ context.Context, _ *Run, o *Outsider, _ *rand.Rand) error {
	o.Proxy.Reset()
	return nil
}

// pester does something to a few outsiders, each at some time, and returns when it is
// mended. At first changes wait for what has just happened to nodes, and by the time
// that they go on, who was cut off together with those has nothing left to answer from.
func (r *Run) pester(ctx context.Context, random *rand.Rand) error {
	if len(r.outsiders) == 0 {
		return nil
	}
	var pestering sync.WaitGroup
	errs, spared := make([]error, pestered), random.Perm(len(r.outsiders))
	for i := range errs {
		f, chance := r.nextOutside(random), rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		at := slices.IndexFunc(spared, func(n int) bool { return !f.Proxied || r.outsiders[n].Proxy != nil })
		o := r.outsiders[spared[at]]
		spared = slices.Delete(spared, at, at+1)
		if o.struck++; o.struck > mostStruck {
			f = killing()
		}
		pestering.Go(func() {
			_ = pause(ctx, time.Duration(chance.Int64N(int64(r.plan.TTL)))) // what is begun is mended at once
			defer r.troubles.Begin(f.Kind, outside, r.clock)()
			if err := f.Do(ctx, r, o, chance); err != nil {
				errs[i] = fmt.Errorf("%s: %v: %w", f.Kind, o.Door, err)
			}
		})
	}
	pestering.Wait()
	return errors.Join(errs...)
}

// nextOutside returns the next of all faults of outsiders, in any order, again and
// again.
func (r *Run) nextOutside(random *rand.Rand) OutsideFault {
	if len(r.outside) == 0 {
		r.outside = OutsideFaults()
		random.Shuffle(len(r.outside), func(i, j int) { r.outside[i], r.outside[j] = r.outside[j], r.outside[i] })
	}
	f := r.outside[0]
	r.outside = r.outside[1:]
	return f
}
