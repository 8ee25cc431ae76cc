package session_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/session"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const aPassword = "correct horse battery staple"

// world is a deployment with an owner who has a password, and a clock that a test moves.
type world struct {
	*session.People
	iam    *iam.Service
	micros atomic.Int64
	cookie token.Secret
	owner  iam.SignIn
}

func (w *world) now() time.Time { return time.UnixMicro(w.micros.Load()) }

func newWorld(t *testing.T, mail *session.Mail) *world {
	t.Helper()
	w := new(world)
	w.micros.Store(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).UnixMicro())
	db, err := store.Open(t.Context(), storetest.SQLite(t), store.Options{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.iam = &iam.Service{Store: db, Fence: iam.Nobody{}, Now: w.now}
	w.People, err = session.New(session.Options{
		IAM: w.iam, Secret: []byte(strings.Repeat("s", 32)), Now: w.now, Mail: mail, URL: func() string { return "https://postern.example" },
	})
	if err != nil {
		t.Fatal(err)
	}
	link, err := w.iam.FirstSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done, cookie, err := w.SetUp(t.Context(), nobody(), api.Setup{
		Token: link.Reveal(), Workspace: &api.SetupWorkspace{Name: "Acme"},
		Owner: api.SetupOwner{Name: "Ada", Email: "ada@example.com", Password: aPassword},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.cookie, w.owner = cookie, done.Value.SignIn
	return w
}

func nobody() iam.Caller { return iam.Caller{Source: audit.Source{IP: "192.0.2.7"}} }

func TestPasswordIsKeptAsArgon2SaysIt(t *testing.T) {
	w := newWorld(t, nil)
	kept, err := w.iam.Store.Password(t.Context(), w.owner.Person)
	if err != nil || !strings.HasPrefix(kept.Encoded, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("got %q, %v", kept.Encoded, err)
	}
	if strings.Contains(kept.Encoded, aPassword) {
		t.Error("the password is in what is kept")
	}
}

// What takes the time of a sign-in takes it whether or not there is such an account.
func TestGuessCostsAsMuchWhoeverItIsAbout(t *testing.T) {
	w := newWorld(t, nil)
	for _, email := range []string{"ada@example.com", "nobody@example.com"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := w.SignIn(t.Context(), nobody(), api.SignIn{Email: email, Password: "a wrong password"})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, iam.ErrNotSignedIn) {
			t.Errorf("%s: got %v, want that it proved nothing", email, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used < 19<<20 {
			t.Errorf("%s: a guess took %d bytes, fewer than one hash does", email, used)
		}
	}
}

func TestCookieOfAnotherPurposeIsNobodys(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.Hash(w.cookie, "ws_a"), w.Hash(w.cookie, "ws_b")
	if a == b || a == w.cookie.Hash() || b == w.cookie.Hash() {
		t.Error("one cookie has one hash in two workspaces, or its own")
	}
	other, err := session.New(session.Options{IAM: w.iam, Secret: []byte(strings.Repeat("x", 32)), Now: w.now, URL: func() string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Find(t.Context(), w.cookie, true); !errors.Is(err, iam.Unauthenticated) {
		t.Errorf("under another root secret: %v, want unauthenticated", err)
	}
}

func TestSessionThatNobodyUsesIsOverAfterTwelveHours(t *testing.T) {
	w := newWorld(t, nil)
	find := func() error {
		_, err := w.Find(t.Context(), w.cookie, false)
		return err
	}
	for range 3 {
		w.micros.Add((11 * time.Hour).Microseconds())
		if err := find(); err != nil {
			t.Fatalf("used every eleven hours: %v", err)
		}
	}
	w.micros.Add((12 * time.Hour).Microseconds() - time.Second.Microseconds())
	if err := w.Still(t.Context(), w.cookie); err != nil {
		t.Errorf("a second before: %v", err)
	}
	w.micros.Add(time.Second.Microseconds())
	if err := w.Still(t.Context(), w.cookie); !errors.Is(err, iam.Unauthenticated) {
		t.Errorf("what lasts by itself kept it: %v, want unauthenticated", err)
	}
	if err := find(); !errors.Is(err, iam.Unauthenticated) {
		t.Errorf("after twelve hours: %v, want unauthenticated", err)
	}
}

func TestSessionIsOverAfterSevenDays(t *testing.T) {
	w := newWorld(t, nil)
	var err error
	for range 7*24 + 1 {
		_, err = w.Find(t.Context(), w.cookie, false)
		w.micros.Add(time.Hour.Microseconds())
	}
	if !errors.Is(err, iam.Unauthenticated) {
		t.Errorf("got %v, want unauthenticated", err)
	}
}

// postOffice is a server that takes one mail.
func postOffice(t *testing.T) (address string, took func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it may have been closed
	mails := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		mails <- receive(c)
	}()
	return l.Addr().String(), func() string {
		select {
		case m := <-mails:
			return m
		case <-time.After(30 * time.Second):
			return ""
		}
	}
}

// receive speaks as little SMTP as takes a mail (RFC 5321).
func receive(c net.Conn) string {
	in := bufio.NewScanner(c)
	say := func(line string) { _, _ = fmt.Fprintf(c, "%s\r\n", line) } // who hangs up is not heard
	say("220 here")
	var all strings.Builder
	for data := false; in.Scan(); {
		line := in.Text()
		all.WriteString(line + "\n")
		switch {
		case data && line == ".":
			data = false
			say("250 taken")
		case data:
		case line == "DATA":
			data = true
			say("354 go on")
		case line == "QUIT":
			say("221 bye")
			return all.String()
		default:
			say("250 fine")
		}
	}
	return all.String()
}

func TestInvitationIsMailedWithItsLink(t *testing.T) {
	address, took := postOffice(t)
	w := newWorld(t, &session.Mail{Address: address, From: "postern@example.com", TLS: "none"})
	invitation := iam.Invitation{
		Email: "jo@example.com", Role: iam.Ref[iam.RoleID]{Name: "viewer"}, ExpiresAt: w.now().Add(time.Hour),
		InvitedBy: iam.Actor{Actor: audit.Actor{Name: "Ada\r\nBcc: eve@example.com"}},
	}
	secret := token.NewSecret("inv_0123456789")
	if sent, err := w.MailInvitation(t.Context(), invitation, "Acme\r\nX-Injected: yes", secret); err != nil || !sent {
		t.Fatalf("got %v, %v; want it sent", sent, err)
	}
	mail := took()
	for _, want := range []string{"RCPT TO:<jo@example.com>", "https://postern.example/invite#inv_0123456789"} {
		if !strings.Contains(strings.ReplaceAll(mail, "=\n", ""), want) {
			t.Errorf("the mail has no %s:\n%s", want, mail)
		}
	}
	for line := range strings.Lines(mail) {
		if strings.HasPrefix(line, "Bcc:") || strings.HasPrefix(line, "X-Injected:") || strings.Contains(line, "RCPT TO:<eve") {
			t.Errorf("a name became a line of its own: %s", line)
		}
	}
}

func TestMailThatCannotBeSentIsToldWithoutItsSecret(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, &session.Mail{Address: address, From: "postern@example.com", TLS: "none"})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	sent, err := w.MailInvitation(ctx, iam.Invitation{Email: "jo@example.com"}, "Acme", token.NewSecret("inv_0123456789"))
	if sent || err == nil || strings.Contains(err.Error(), "inv_0123456789") {
		t.Errorf("got %v, %v; want an error that says nothing of the token", sent, err)
	}
}
