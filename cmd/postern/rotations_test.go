package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/store/storetest"
)

// The traffic of the stories below, and for how long an old key must be quiet in them.
const (
	consumers = 4
	between   = 20 * time.Millisecond // two requests of one: 200 a second of all
	quiet     = 2 * time.Second
)

// swap is a rotation under traffic: programs that use a key, each from an address of
// its own, and ask whichever server answers.
type swap struct {
	*office
	servers  []*server
	rotation api.Rotation
	old, new string // values
	all      []*consumer
	begun    time.Time
	seen     map[string]bool // what was in the way, at any look
	running  sync.WaitGroup
}

// consumer is one of the programs.
type consumer struct {
	ip   string
	next int // server to ask

	key      atomic.Pointer[string] // the value that it uses
	answered atomic.Int64

	mu      sync.Mutex // guards what follows
	lastOld time.Time  // when it last asked with the old key
	refused []string
}

// newSwap starts servers on a store, and the traffic.
func newSwap(t *testing.T, url string, servers int) *swap {
	t.Helper()
	s := &swap{office: officeOn(t, url), seen: map[string]bool{}}
	s.initialize()
	for i := range servers {
		s.servers = append(s.servers, s.serve(url, "--node-name", fmt.Sprintf("node-%d", i+1)))
	}
	for _, one := range s.servers {
		one.becomes("/readyz", http.StatusOK, "ok")
	}
	first := s.servers[0]
	first.must("/v1/workspaces/-/service_accounts", s.owner, map[string]string{"name": "bot", "role": "operator"})
	made := first.must("/v1/workspaces/-/service_accounts/bot/keys", s.owner, map[string]string{"name": "prod"})
	s.old = made.in("value").(string)
	s.begun = time.Now()
	ctx, stop := context.WithCancel(context.Background())
	for i := range consumers {
		c := &consumer{ip: fmt.Sprintf("10.0.0.%d", i+1), next: i}
		c.key.Store(&s.old)
		s.all = append(s.all, c)
		s.running.Go(func() { s.consume(ctx, c) })
	}
	t.Cleanup(func() { stop(); s.running.Wait() })
	var begun api.StartedRotation
	s.decode(first.must("/v1/workspaces/-/keys/"+made.in("id").(string)+"/rotations", s.owner,
		map[string]any{"quiet_for": quiet.String(), "auto_revoke": true}), &begun)
	s.rotation, s.new = begun.Rotation, begun.NewKey.Value
	return s
}

func (s *swap) decode(h heard, into any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(h.text), into); err != nil {
		s.t.Fatalf("%v: %d %s", err, h.status, h.text)
	}
}

// consume uses a key until ctx ends.
func (s *swap) consume(ctx context.Context, c *consumer) {
	tick := time.NewTicker(between)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.use(ctx, c)
		case <-ctx.Done():
			return
		}
	}
}

// use has a key verified by any server that can say anything of it.
func (s *swap) use(ctx context.Context, c *consumer) {
	key := *c.key.Load()
	c.mu.Lock()
	if key == s.old {
		c.lastOld = time.Now()
	}
	c.mu.Unlock()
	body := map[string]any{"key": key, "workspace": "any", "source": map[string]string{"ip": c.ip, "user_agent": "consumer/1.0"}}
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; {
		c.next = (c.next + 1) % len(s.servers)
		h, err := s.servers[c.next].try(http.MethodPost, "/v1/verify", s.owner, body)
		switch {
		case err != nil || h.status == http.StatusServiceUnavailable:
			continue // it is dead, or knows that it cannot say
		case h.in("code") != "valid":
			c.mu.Lock()
			c.refused = append(c.refused, fmt.Sprintf("%s: %d %s", c.ip, h.status, h.text))
			c.mu.Unlock()
		}
		c.answered.Add(1)
		return
	}
}

// look returns the rotation as the first server sees it. As long as somebody uses
// the old key it must be neither ready nor over.
func (s *swap) look() (r api.Rotation) {
	s.t.Helper()
	inUse := slices.ContainsFunc(s.all, func(c *consumer) bool { return *c.key.Load() == s.old })
	h := s.servers[0].call(http.MethodGet, "/v1/workspaces/-/rotations/"+s.rotation.ID, s.owner, nil)
	if h.status == http.StatusServiceUnavailable {
		return s.rotation // a busy machine may keep a server from its lease for a moment
	}
	s.decode(h, &r)
	if inUse && (r.Ready || r.EndedAt != nil) {
		s.t.Fatalf("the old key is in use, and the rotation is %s", r.State)
	}
	for _, b := range r.Blockers {
		s.seen[b.Code] = true
	}
	s.rotation = r
	return r
}

// names waits until just these are named as not having moved.
func (s *swap) names(want ...string) {
	s.t.Helper()
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) { // it tells nobody
		got = nil
		for _, b := range s.look().Blockers {
			if b.Code == "source_not_moved" {
				got = append(got, b.Source.IP)
			}
		}
		if slices.Sort(got); slices.Equal(got, want) {
			return
		}
	}
	s.t.Fatalf("%v are named, want %v; it is %s", got, want, s.rotation.State)
}

// moves has the consumers move one after another. Each time those that are left
// must be named. between is called when half have moved.
func (s *swap) moves(between func()) {
	s.t.Helper()
	var left []string
	for _, c := range s.all {
		left = append(left, c.ip)
	}
	s.names(left...)
	for i, c := range s.all {
		if i == len(s.all)/2 {
			between()
		}
		c.key.Store(&s.new)
		s.names(left[i+1:]...)
	}
}

// ends waits until the rotation is over, by itself.
func (s *swap) ends() {
	s.t.Helper()
	for end := time.Now().Add(2 * patience); s.look().EndedAt == nil; time.Sleep(50 * time.Millisecond) { // it tells nobody
		if time.Now().After(end) {
			s.t.Fatalf("it is %s, with %+v in the way", s.rotation.State, s.rotation.Blockers)
		}
	}
	if s.rotation.State != "completed" || s.rotation.EndedBy.Type != "system" || s.rotation.OldKey.State != "revoked" {
		s.t.Errorf("it is %s by %+v, and the old key %s; want it completed by the system", s.rotation.State, s.rotation.EndedBy, s.rotation.OldKey.State)
	}
}

// lastOld is when anybody last asked with the old key.
func (s *swap) lastOld() (last time.Time) {
	for _, c := range s.all {
		c.mu.Lock()
		if c.lastOld.After(last) {
			last = c.lastOld
		}
		c.mu.Unlock()
	}
	return last
}

// at returns when something happened, by the audit log, which must have it once.
func (s *swap) at(action string) time.Time {
	s.t.Helper()
	var list api.List[api.AuditEvent]
	s.decode(s.servers[0].call(http.MethodGet, "/v1/workspaces/-/audit_events?action="+action, s.owner, nil), &list)
	if len(list.Data) != 1 {
		s.t.Fatalf("the audit log has %d of %s, want 1", len(list.Data), action)
	}
	return list.Data[0].At.Time
}

// judge looks at what is left when it is over: nobody was ever refused, and nothing
// happened too early. Until a time there may have been uses that nobody knows of.
func (s *swap) judge(unknown time.Time) {
	s.t.Helper()
	last := s.lastOld()
	if unknown.After(last) {
		last = unknown
	}
	ready, ended, revoked := s.at("rotation.ready"), s.at("rotation.completed"), s.at("key.revoked")
	if after := ready.Sub(last); after < quiet {
		s.t.Errorf("it was ready %s after the last use, want %s or more", after, quiet)
	}
	if ended.Before(ready) || revoked.Before(ready) || s.at("rotation.first_use").After(ready) {
		s.t.Errorf("ready at %s, completed at %s, revoked at %s: want them in order", ready, ended, revoked)
	}
	var answered int64
	for _, c := range s.all {
		before := c.answered.Load()
		for end := time.Now().Add(patience); c.answered.Load() < before+10 && time.Now().Before(end); { // it goes on
			time.Sleep(between)
		}
		c.mu.Lock()
		if len(c.refused) > 0 {
			s.t.Errorf("%d refused, the first: %s", len(c.refused), c.refused[0])
		}
		c.mu.Unlock()
		answered += c.answered.Load()
	}
	s.t.Logf("%d requests in %s, %.0f a second; ready %s after the last use of the old key", answered, time.Since(s.begun).Round(time.Second),
		float64(answered)/time.Since(s.begun).Seconds(), ready.Sub(s.lastOld()).Round(10*time.Millisecond))
	for _, one := range s.servers {
		if h, err := one.try(http.MethodPost, "/v1/verify", s.owner, about(s.old)); err == nil && h.in("code") != "revoked" {
			s.t.Errorf("the old key is %d %s, want revoked", h.status, h.text)
		}
	}
}

// S8, under traffic: no request is refused, each laggard is named, and the old key
// ends by itself when nobody uses it any more, not before.
func TestRotationUnderTrafficRefusesNobody(t *testing.T) {
	for name, test := range map[string]struct {
		store   func(testing.TB) string
		servers int
	}{"one server on SQLite": {storetest.SQLite, 1}, "three on PostgreSQL": {storetest.Postgres, 3}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSwap(t, test.store(t), test.servers)
			s.moves(func() {})
			s.ends()
			s.judge(time.Time{})
		})
	}
}

// The same when a server is killed in the middle, with what it had counted: the
// rotation goes on, and what is not known is taken for use.
func TestRotationGoesOnWhenAServerIsKilled(t *testing.T) {
	t.Parallel()
	s := newSwap(t, storetest.Postgres(t), 3)
	s.moves(func() {
		if err := s.servers[1].cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-s.servers[1].ended
	})
	s.ends()
	if !s.seen["uses_unknown"] {
		t.Errorf("%v was in the way, want the uses that the dead server did not report among it", s.seen)
	}
	s.judge(time.UnixMicro(s.ask(`SELECT max(ended_at) FROM usage_reporters WHERE ended_at > covers`)))
}
