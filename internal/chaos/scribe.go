package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// scribe changes things by way of a server that is killed again and again, one
// change after the other, and keeps what it asked for and what it heard. Calls that
// nobody answered are made again under the same Idempotency-Key, where there is
// one, until somebody does.
type scribe struct {
	name     string
	base     string
	header   string // that it signs in with
	client   *http.Client
	clock    Clock
	answered *atomic.Int64 // changes, of all scribes

	entries []Entry
}

// run makes accounts and keys, and changes and ends them, until ctx ends. What is
// under way then is finished: the server is not killed any more.
func (s *scribe) run(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := s.life(fmt.Sprintf("%s-%d", s.name, n)); err != nil {
			return err
		}
	}
	return nil
}

// life is all that happens to one account.
func (s *scribe) life(account string) error {
	if _, err := s.insist("service_accounts", fields{"name": account, "role": "viewer"}); err != nil {
		return err
	}
	for _, description := range []string{"as it was", "as it became"} {
		if err := s.try("service_accounts/"+account, fields{"description": description}); err != nil {
			return err
		}
	}
	for _, name := range []string{"one", "two"} {
		key, err := s.insist("service_accounts/"+account+"/keys", fields{"name": name})
		if err == nil && name == "one" {
			_, err = s.insist("keys/"+key+"/revoke", fields{"reason": "unused"})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// longestTry is for how long a scribe asks for the same change.
const longestTry = time.Minute

// insist asks for a change until it is made, and returns the id of what it is about.
func (s *scribe) insist(path string, in fields) (id string, err error) {
	e := s.begin()
	for since := time.Now(); time.Since(since) < longestTry; time.Sleep(5 * time.Millisecond) {
		r := s.call(http.MethodPost, path, e.Request, in)
		switch {
		case r.status/100 == 2, r.Code == "value_already_issued": // made by a call whose answer was lost
			s.end(e, true)
			return r.ID, nil
		case r.status/100 == 4 && r.Code != "idempotency_in_progress" && r.status != http.StatusTooManyRequests:
			return "", fmt.Errorf("POST %s: %d %s", path, r.status, r.text)
		}
	}
	return "", fmt.Errorf("POST %s: nobody answered for %v", path, longestTry)
}

// try asks for a change once.
func (s *scribe) try(path string, in fields) error {
	e := s.begin()
	r := s.call(http.MethodPatch, path, e.Request, in)
	if r.status/100 == 4 && r.status != http.StatusTooManyRequests {
		return fmt.Errorf("PATCH %s: %d %s", path, r.status, r.text)
	}
	s.end(e, r.status/100 == 2)
	return nil
}

func (s *scribe) begin() Entry {
	return Entry{Request: fmt.Sprintf("%s.%d", s.name, len(s.entries)), Begun: s.clock.Now()}
}

func (s *scribe) end(e Entry, answered bool) {
	e.Ended, e.Answered = s.clock.Now(), answered
	s.entries = append(s.entries, e)
	if answered {
		s.answered.Add(1)
	}
}

// call asks once. The server does not wait for other nodes, only for the commit:
// what was killed is none whose lease matters here.
func (s *scribe) call(method, path, request string, in fields) (r reply) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // the scribe ends between two calls
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return reply{text: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+workspace+path, bytes.NewReader(body))
	if err != nil {
		return reply{text: err.Error()}
	}
	req.Header.Set("Authorization", s.header)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "respond-async")
	req.Header.Set("X-Request-Id", request)
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", request)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return reply{text: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return reply{text: err.Error()} // half an answer is none
	}
	r.status, r.text = resp.StatusCode, string(text)
	return r
}

// Killings kills a node while much is written, so often, and returns what its
// audit log must say then. header signs in as somebody who may do everything. The
// node runs before and after.
func Killings(ctx context.Context, n *Node, header string, times int, between func() time.Duration) (l Ledger, err error) {
	const scribes = 4
	var answered atomic.Int64
	var writing sync.WaitGroup
	clock, all, ends := Clock(time.Now()), make([]*scribe, scribes), make([]error, scribes)
	write, stop := context.WithCancel(ctx)
	defer stop()
	for i := range all {
		s := &scribe{name: fmt.Sprint("scribe-", i), base: n.URL(), header: header, client: n.client, clock: clock, answered: &answered}
		all[i] = s
		writing.Go(func() { ends[i] = s.run(write) })
	}
	for range times {
		if err = killOne(ctx, n, &answered, between()); err != nil {
			break
		}
	}
	stop()
	writing.Wait()
	if err := errors.Join(append(ends, err)...); err != nil {
		return l, err
	}
	for _, s := range all {
		l.Entries = append(l.Entries, s.entries...)
	}
	return l, l.read(ctx, n, header)
}

// killOne kills the node once it has made some changes and a while has passed, and
// starts it again.
func killOne(ctx context.Context, n *Node, answered *atomic.Int64, after time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, longestTry)
	defer cancel()
	if err := n.AwaitReady(ctx); err != nil {
		return err
	}
	for before := answered.Load(); answered.Load() < before+4; {
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%s changes nothing: %w", n.Name, err)
		}
	}
	if err := pause(ctx, after); err != nil {
		return err
	}
	n.Kill()
	return n.Start()
}
