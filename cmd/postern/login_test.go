package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser is where somebody works who has signed in.
type browser struct {
	t      *testing.T
	url    string
	client *http.Client
}

var (
	consoleLink = regexp.MustCompile(`Console +(http\S+)/setup#(\S+)`)
	setupLink   = regexp.MustCompile(`Set up this server at (http\S+)/setup#(\S+)`)
	comparing   = regexp.MustCompile(`compare the code: ([A-Z]{4}-[A-Z]{4})`)
)

// openLink uses a setup link that a server printed.
func openLink(t *testing.T, printed string, link *regexp.Regexp, more map[string]any) *browser {
	t.Helper()
	found := link.FindStringSubmatch(printed)
	if found == nil {
		t.Fatalf("there is no setup link in\n%s", printed)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, url: found[1], client: &http.Client{Jar: jar, Timeout: patience}}
	in := map[string]any{"token": found[2], "owner": map[string]any{"password": "correct horse battery staple"}}
	for name, value := range more {
		in[name] = value
	}
	b.post("/v1/setup", in, http.StatusCreated)
	return b
}

func (b *browser) post(path string, in any, want int) {
	b.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := b.client.Post(b.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		b.t.Fatalf("POST %s: %d, want %d", path, answer.StatusCode, want)
	}
}

// get returns the status of a page of the API.
func (b *browser) get(path string) int {
	b.t.Helper()
	answer, err := b.client.Get(b.url + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// approves runs postern login in a folder, compares the code and approves it.
func (b *browser) approves(dir, line string) {
	b.t.Helper()
	cmd := shell(dir, "exec "+strings.ReplaceAll(line, "http://localhost:7070", b.url))
	codes := make(chan string, 1)
	said := &watched{up: comparing, ready: func(code string) {
		select {
		case codes <- code:
		default: // it was said before
		}
	}}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // the error says that it was
	defer late.Stop()
	select {
	case code := <-codes:
		b.post("/v1/device/approve", map[string]any{"user_code": code, "approve": true}, http.StatusOK)
	case <-time.After(patience):
	}
	if err := cmd.Wait(); err != nil {
		b.t.Errorf("%s: %v\n%s", line, err, said)
	}
}

// The link that a server prints on an empty store sets it up, once.
func TestServerOnAnEmptyStoreIsSetUpInABrowser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, _, err := launch(shell(dir, "exec postern serve"))
	if err != nil {
		t.Fatalf("%v\n%s%s", err, p.stdout, p.stderr)
	}
	t.Cleanup(func() { _ = p.interrupt() }) // what it is there for has been judged
	for end := time.Now().Add(patience); !setupLink.MatchString(p.stdout.String()) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	b := openLink(t, p.stdout.String(), setupLink, map[string]any{
		"workspace": map[string]any{"name": "Acme"},
		"owner":     map[string]any{"name": "Ada", "email": "ada@example.com", "password": "correct horse battery staple"},
	})
	if status := b.get("/v1/whoami"); status != http.StatusOK {
		t.Errorf("whoami: %d, want 200", status)
	}
	if strings.Contains(p.stderr.String(), "setup_") {
		t.Error("the log has the secret of the setup link")
	}
}
