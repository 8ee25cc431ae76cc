package server_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// events returns what a search of the caller's audit log finds.
func (c *client) events(query string) []api.AuditEvent {
	c.t.Helper()
	var list api.List[api.AuditEvent]
	c.get(here("/audit_events"+query)).want(http.StatusOK, &list)
	return list.Data
}

func TestEventSaysWhoDidWhatToWhat(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("viewer")
		r := c.patch(here("/service_accounts/"+account.ID), `{"owner":"Support"}`, "X-Forwarded-For", "198.51.100.7").want(http.StatusOK, nil)
		found := c.events("?action=service_account.updated")
		if len(found) != 1 {
			t.Fatalf("got %d events, want 1", len(found))
		}
		var who api.Whoami
		c.get("/v1/whoami").want(http.StatusOK, &who)
		want := api.AuditEvent{
			ID: found[0].ID, Seq: found[0].Seq, At: found[0].At,
			Actor: api.Actor{ID: c.principal, Type: "member", Name: "Owner of acme", State: "active"},
			Key:   &api.Ref{ID: c.id, Name: "first"}, Action: "service_account.updated", Outcome: "done",
			Target: api.Target{Type: "service_account", ID: account.ID, Name: account.Name, State: "active"},
			Source: api.Source{IP: "198.51.100.7", UserAgent: "tests/1.0", Node: "test"}, RequestID: r.header.Get("X-Request-Id"),
			Before: map[string]any{"owner": ""}, After: map[string]any{"owner": "Support"},
		}
		if diff := cmp.Diff(want, found[0]); diff != "" {
			t.Errorf("at %v (-want +got):\n%s", found[0].At, diff)
		}
		var read api.AuditEvent
		c.get(here("/audit_events/"+found[0].ID)).want(http.StatusOK, &read)
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		c.get(here("/audit_events/evt_01jn8x0c2vf3hs5r6tq7w8y9za")).wantProblem(http.StatusNotFound, api.CodeNotFound)
		for seq, e := range slices.Backward(c.events("?sort=seq&limit=200")) {
			if e.Seq != int64(seq+1) {
				t.Errorf("event %d has the number %d: want no gap", seq+1, e.Seq)
			}
		}
	})
}

// A revoked account reads inactive wherever its name stands, also in what was
// written before (S10).
func TestRevokedAccountReadsInactiveWhereverItsNameStands(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		bot := c.holder("iam.*:*", "*:*").in(t)
		made := bot.account("viewer")
		key := bot.keyOf(made.ID, api.CreateKey{})
		ended := bot.keyOf(made.ID, api.CreateKey{})
		bot.post(here("/keys/"+ended.ID+"/revoke"), nil).want(http.StatusOK, nil)
		bot.post(here("/invitations"), `{"email":"a@example.com","role":"viewer"}`).want(http.StatusCreated, nil)
		states := func() map[string]string {
			t.Helper()
			var account api.ServiceAccount
			var k, e api.Key
			var invitations api.List[api.Invitation]
			c.get(here("/service_accounts/"+made.ID)).want(http.StatusOK, &account)
			c.get(here("/keys/"+key.ID)).want(http.StatusOK, &k)
			c.get(here("/keys/"+ended.ID)).want(http.StatusOK, &e)
			c.get(here("/invitations?q=a@example.com")).want(http.StatusOK, &invitations)
			found := map[string]string{
				"account": account.CreatedBy.State, "key": k.CreatedBy.State, "end of a key": e.Revoked.By.State,
				"invitation": invitations.Data[0].InvitedBy.State,
			}
			for _, e := range c.events("?limit=200&actor=" + bot.principal) {
				found["event "+e.Action] = e.Actor.State
			}
			return found
		}
		if got := states(); len(got) != 8 || !allAre(got, "active") {
			t.Errorf("before: got %v, want 8 places, active in all", got)
		}
		c.post(here("/service_accounts/"+bot.principal+"/revoke"), nil).want(http.StatusOK, nil)
		if got := states(); len(got) != 8 || !allAre(got, "inactive") {
			t.Errorf("after: got %v, want inactive everywhere", got)
		}
	})
}

func allAre(states map[string]string, want string) bool {
	for _, state := range states {
		if state != want {
			return false
		}
	}
	return true
}

func TestEventsAreFiltered(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		bot := c.holder("iam.roles:*", "zebras:read").in(t)
		role := bot.role("zebras:read")
		bot.get(here("/members")).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		c.patch(here("/roles/"+role.ID), `{"title":"Keeper of zebras"}`, "X-Forwarded-For", "198.51.100.7").want(http.StatusOK, nil)
		made := c.events("?action=role.created&target=" + role.ID)
		if len(made) != 1 {
			t.Fatalf("got %d events, want the one that made the role", len(made))
		}
		at := func(d time.Duration) string { return url.QueryEscape(made[0].At.Add(d).Format(time.RFC3339Nano)) }
		for query, want := range map[string][]string{
			"?actor=" + bot.principal:                            {"member.read", "role.created"},
			"?actor=" + bot.principal + "&outcome=refused":       {"member.read"},
			"?actor_type=service_account&sort=seq":               {"role.created", "member.read"},
			"?action=role.updated":                               {"role.updated"},
			"?target=" + role.ID:                                 {"role.updated", "role.created"},
			"?target=" + role.ID + "&sort=at":                    {"role.created", "role.updated"},
			"?source=198.51.100.7":                               {"role.updated"},
			"?q=ROLE+upd+" + role.Name:                           {"role.updated"},
			"?q=%25":                                             {},
			"?from=" + at(0) + "&to=" + at(time.Microsecond):     {"role.created"},
			"?from=" + at(0) + "&to=" + at(0):                    {},
			"?from=" + at(time.Microsecond) + "&outcome=refused": {"member.read"},
			"?actor=' OR 1=1 --":                                 {},
			"?actor_type=anonymous":                              {},
		} {
			actions := []string{}
			for _, e := range c.events(strings.ReplaceAll(query, " ", "%20")) {
				actions = append(actions, e.Action)
			}
			if !slices.Equal(actions, want) {
				t.Errorf("%s: got %v, want %v", query, actions, want)
			}
		}
		var page api.List[api.AuditEvent]
		var seqs []int64
		for cursor := ""; ; cursor = *page.NextCursor {
			c.get(here("/audit_events?limit=2&cursor="+cursor)).want(http.StatusOK, &page)
			for _, e := range page.Data {
				seqs = append(seqs, e.Seq)
			}
			c.account("viewer") // newer than where the search began
			if !page.HasMore {
				break
			}
		}
		if slices.Reverse(seqs); len(seqs) == 0 || seqs[0] != 1 || !slices.IsSorted(seqs) || len(slices.Compact(slices.Clone(seqs))) != len(seqs) {
			t.Errorf("paged through %v, want each once, back to the first", seqs)
		}
	})
}

func TestExportIsWhatTheSearchFinds(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		person := c.joined("=1+1;@SUM(A1)")
		person.account("viewer")
		c.delete(here("/members/"+person.principal)).want(http.StatusOK, nil)
		want := c.events("?limit=200&sort=seq")

		r := c.get(here("/audit_events/export")).want(http.StatusOK, nil)
		if kind, as := r.header.Get("Content-Type"), r.header.Get("Content-Disposition"); kind != "application/jsonl" || as != `attachment; filename="audit-acme.jsonl"` {
			t.Errorf("got %s, %s", kind, as)
		}
		if diff := cmp.Diff(want, lines(t, r.body)); diff != "" {
			t.Errorf("JSON lines (-searched +exported):\n%s", diff)
		}
		r = c.get(here("/audit_events/export?format=csv&actor="+person.principal)).want(http.StatusOK, nil)
		if kind, as := r.header.Get("Content-Type"), r.header.Get("Content-Disposition"); kind != "text/csv; charset=utf-8; header=present" || as != `attachment; filename="audit-acme.csv"` {
			t.Errorf("got %s, %s", kind, as)
		}
		rows, err := csv.NewReader(bytes.NewReader(r.body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		want = slices.DeleteFunc(want, func(e api.AuditEvent) bool { return e.Actor.ID != person.principal })
		if len(rows) != len(want)+1 || len(want) == 0 {
			t.Fatalf("got %d rows, want a heading and %d", len(rows), len(want))
		}
		for i, e := range want {
			row := map[string]string{}
			for column, name := range rows[0] {
				row[name] = rows[i+1][column]
			}
			got := []string{row["id"], row["seq"], row["action"], row["actor_id"], row["actor_name"], row["actor_state"], row["target_name"], row["target_state"], row["outcome"]}
			if want := []string{e.ID, strconv.FormatInt(e.Seq, 10), e.Action, e.Actor.ID, "'=1+1;'@SUM(A1)", "removed", e.Target.Name, e.Target.State, "done"}; !strings.HasPrefix(e.Target.Name, "=") && !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		made := c.events("?action=export.created")
		if len(made) != 2 || made[0].After["actor"] != person.principal || made[0].Actor.ID != c.principal {
			t.Errorf("got %+v, want both exports in the log, with their filters", made)
		}
		for format, want := range map[string]int{"jsonl": 0, "csv": 1} {
			r := c.get(here("/audit_events/export?target=nothing&format="+format)).want(http.StatusOK, nil)
			if got := bytes.Count(r.body, []byte("\n")); got != want {
				t.Errorf("an empty export as %s has %d lines, want %d", format, got, want)
			}
		}
		reader := c.holder("iam.audit:read").in(t)
		if p := reader.get(here("/audit_events/export")).wantProblem(http.StatusForbidden, api.CodePermissionDenied); p.Permission != "iam.audit:export" {
			t.Errorf("got %q missing, want iam.audit:export", p.Permission)
		}
		reader.get(here("/audit_events")).want(http.StatusOK, nil)
	})
}

// joined returns a new admin with a name of their own.
func (c *client) joined(name string) *client {
	c.t.Helper()
	var invited api.CreatedInvitation
	c.post(here("/invitations"), `{"email":"`+c.name("jo")+`@example.com","role":"admin"}`).want(http.StatusCreated, &invited)
	return c.join(invited.Token, name)
}

func lines(t *testing.T, body []byte) (events []api.AuditEvent) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	for {
		var e api.AuditEvent
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return events
		} else if err != nil {
			t.Fatalf("line %d: %v", len(events)+1, err)
		}
		events = append(events, e)
	}
}

// manyEvents makes more events than are read at once.
func (c *client) manyEvents() {
	c.t.Helper()
	for range 220 {
		c.account("viewer")
	}
}

// duringExport has a hook run when an export reads its second part, and returns
// the answer, whose body was not read yet.
func (w *town) duringExport(c *client, hook func() error) *http.Response {
	c.t.Helper()
	const secondRead = 3 // after the note of the export and the first part
	var asked atomic.Int64
	w.faults.set(func() error {
		if asked.Add(1) == secondRead {
			return hook()
		}
		return nil
	}, nil, nil)
	c.t.Cleanup(func() { w.faults.set(nil, nil, nil) })
	answer, err := http.DefaultClient.Do(c.request(http.MethodGet, here("/audit_events/export"), nil).request(c.t, w.url))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// An export is sent while it is read: what has been written is with the client
// before the rest is looked up.
func TestExportIsStreamed(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		c.manyEvents()
		read := make(chan struct{})
		answer := w.duringExport(c, func() error {
			select {
			case <-read:
				return nil
			case <-time.After(30 * time.Second):
				return errors.New("nothing was sent while the rest was held back")
			}
		})
		body := bufio.NewReader(answer.Body)
		if _, err := body.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		close(read)
		rest, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(lines(t, rest)); got < 220 {
			t.Errorf("got %d more events, want all", got)
		}
	})
}

// An export ends with the key that it was begun with, and abruptly, so that a
// part is never taken for the whole.
func TestExportBreaksWhenItCannotGoOn(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		c.manyEvents()
		for what, stop := range map[string]func(holder *client) error{
			"its key is revoked": func(holder *client) error {
				c.post(here("/keys/"+holder.id+"/revoke"), nil).want(http.StatusOK, nil)
				return nil
			},
			"its key is narrowed": func(holder *client) error {
				c.patch(here("/keys/"+holder.id), `{"limit":["iam.audit:read"]}`).want(http.StatusOK, nil)
				return nil
			},
			"the store is away": func(*client) error { return iam.Unavailable },
		} {
			holder := c.holder("iam.audit:*").in(t)
			answer := w.duringExport(holder, func() error { return stop(holder) })
			body, err := io.ReadAll(answer.Body)
			if answer.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: got %d, %v, want it begun and broken off", what, answer.StatusCode, err)
			}
			if got := bytes.Count(body, []byte("\n")); got > 200 {
				t.Errorf("%s: got %d events, want none of the second part", what, got)
			}
			w.faults.set(nil, nil, nil)
		}
		if got := strings.Count(w.log.String(), "an export was broken off"); got != 3 {
			t.Errorf("the log tells of %d exports that broke off, want 3", got)
		}
	})
}
