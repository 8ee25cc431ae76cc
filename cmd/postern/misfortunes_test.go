package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/chaos"
	"github.com/posternhq/postern/internal/token"
)

// back is how long a server may take to answer again once its database does. It is
// two seconds; a machine that runs other tests beside may be slower.
const back = 10 * time.Second

// isStale fails the test unless a server is there and says that it cannot know.
func (s *server) isStale(key string) {
	s.t.Helper()
	if h := s.call(http.MethodGet, "/healthz", "", nil); h.status != http.StatusOK {
		s.t.Errorf("/healthz: got %d %s, want 200", h.status, h.text)
	}
	if h := s.call(http.MethodGet, "/readyz", "", nil); h.status != http.StatusServiceUnavailable || h.in("status") != "stale" {
		s.t.Errorf("/readyz: got %d %s, want 503 stale", h.status, h.text)
	}
	h := s.call(http.MethodPost, "/v1/verify", key, about(key))
	if h.status != http.StatusServiceUnavailable || h.in("code") != "stale" || h.header.Get("Retry-After") == "" {
		s.t.Errorf("verify: got %d %s and Retry-After %q, want 503 stale, and when to try again", h.status, h.text, h.header.Get("Retry-After"))
	}
}

// stand stops the process of a server as SIGSTOP does, and returns once all of it
// has stopped: until then it answers.
func (s *server) stand() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		s.t.Fatalf("the process did not stop: %v, %v", status, err)
	}
}

// isBack fails the test unless a server whose database has come back soon answers
// again.
func (s *server) isBack(key string) {
	s.t.Helper()
	took := s.becomes("/readyz", http.StatusOK, "ok")
	s.t.Logf("it answered %v after the database came", took)
	if took > back {
		s.t.Errorf("it took %v", took)
	}
	s.knows(key, key, "valid")
}

// nobodys returns the value of a key that is well-formed, and in no database.
func nobodys(t *testing.T) string {
	t.Helper()
	secret, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal()
}

// The database comes up after the server, with nothing in it.
func TestAServerWaitsForADatabaseThatIsNew(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	way := o.path()
	way.close()
	s := o.serve(way.url)
	s.isStale(nobodys(t))
	way.open()
	took := s.becomes("/readyz", http.StatusServiceUnavailable, "not_initialised")
	t.Logf("it found the database %v after it came", took)
	if took > back {
		t.Errorf("it took %v", took)
	}
	o.initialize()
	s.becomes("/readyz", http.StatusOK, "ok")
	s.knows(o.owner, o.owner, "valid")
	if err := s.interrupt(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// The database comes back after the server has started, with all that was in it.
func TestAServerWaitsForADatabaseThatIsInUse(t *testing.T) {
	for name, gone := range map[string]chaos.Weather{"refused": {Refuse: true}, "silent": {HoldUp: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.initialize()
			way := o.path()
			way.Turn(gone)
			s := o.serve(way.url)
			s.isStale(o.owner)
			way.open()
			s.isBack(o.owner)
		})
	}
}

func TestAServerThatNeverFindsItsDatabaseStops(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	way := o.path()
	way.close()
	s := o.serve(way.url)
	if err := s.interrupt(); err != nil {
		t.Errorf("it ends with %v\n%s", err, s.words())
	}
}

// While it is gone a server goes on for as long as its lease lives, and no longer.
func TestAServerOutlivesAnOutageOfItsDatabase(t *testing.T) {
	for name, gone := range map[string]chaos.Weather{"refused": {Refuse: true}, "silent": {HoldUp: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const lease = 1600 * time.Millisecond // four fifths of the TTL
			o := newOffice(t)
			o.initialize()
			way := o.path()
			s := o.serve(way.url)
			s.becomes("/readyz", http.StatusOK, "ok")
			way.Turn(gone)
			if gone.Refuse {
				way.Reset()
			}
			cut := time.Now()
			for stale := false; !stale || time.Since(cut) < 2*lease; {
				begun := time.Now()
				code := s.verify(o.owner, o.owner)
				stale = code == "stale"
				if code == "valid" && begun.Sub(cut) > lease {
					t.Fatalf("it accepts a key %v after the database went, with a lease of %v", begun.Sub(cut), lease)
				}
				if time.Since(cut) > patience {
					t.Fatal("it does not say that it is stale")
				}
			}
			s.isStale(o.owner)
			way.open()
			s.isBack(o.owner)
		})
	}
}

// key makes an account with a key, and returns the key's value.
func (s *server) key(owner, account string) string {
	s.t.Helper()
	s.must("/v1/workspaces/-/service_accounts", owner, map[string]string{"name": account, "role": "operator"})
	value, _ := s.must("/v1/workspaces/-/service_accounts/"+account+"/keys", owner, map[string]string{"name": "deploy"}).in("value").(string)
	return value
}

func (s *server) revoke(owner, account string) (receipt map[string]any) {
	s.t.Helper()
	receipt, _ = s.must("/v1/workspaces/-/service_accounts/"+account+"/revoke", owner, map[string]string{}).in("receipt").(map[string]any)
	return receipt
}

// A machine is cloned, with all that is on it: two servers go by the same name and
// the same settings. One of them is stopped for longer than its lease, so that its
// row is removed, and comes back.
func TestTwoServersOfOneNameAreTwoAndOneThatWasAwayAcceptsNothingOld(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.initialize()
	one, two := o.serve(o.store, "--node-name", "same"), o.serve(o.store, "--node-name", "same")
	one.becomes("/readyz", http.StatusOK, "ok")
	two.becomes("/readyz", http.StatusOK, "ok")
	const rows = `SELECT COUNT(DISTINCT incarnation) FROM nodes WHERE name = 'same'`
	o.until(rows, 2)
	both := one.key(o.owner, "both")
	two.knows(o.owner, both, "valid")
	receipt := one.revoke(o.owner, "both")
	if nodes, _ := receipt["nodes"].(map[string]any); nodes["confirmed"] != float64(2) {
		t.Errorf("the receipt %v does not rest on both", receipt)
	}

	key := one.key(o.owner, "away")
	two.knows(o.owner, key, "valid")
	two.stand()
	asked := make(chan any, 1)
	go func() { // it is answered when the server goes on, if nobody has given up until then
		h, _ := two.try(http.MethodPost, "/v1/verify", o.owner, about(key))
		asked <- h.in("code")
	}()
	if receipt := one.revoke(o.owner, "away"); receipt["confirmed"] != true {
		t.Errorf("the receipt %v", receipt)
	}
	o.until(rows, 1)
	if err := two.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code := <-asked; code == "valid" {
		t.Error("what was asked before it went on is answered with valid")
	}
	for code, end := "", time.Now().Add(patience); code != "principal_inactive"; {
		if code = two.verify(o.owner, key); code == "valid" || time.Now().After(end) {
			t.Fatalf("it says %s of what was revoked while it was away", code)
		}
	}
	o.until(rows, 2)
}

// A server is told to stop while it reads a request. Whoever asked before hears no
// "valid" after a revocation has returned, nor does whoever asks again on the same
// connection.
func TestAServerThatIsToldToStopAcceptsNothingMore(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.initialize()
	one, two := o.serve(o.store), o.serve(o.store)
	one.becomes("/readyz", http.StatusOK, "ok")
	two.becomes("/readyz", http.StatusOK, "ok")
	key := one.key(o.owner, "bot")
	two.knows(o.owner, key, "valid")

	conn, err := net.Dial("tcp", strings.TrimPrefix(two.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := fmt.Sprintf(`{"key":%q,"workspace":"any"}`, key)
	head := fmt.Sprintf("POST /v1/verify HTTP/1.1\r\nHost: postern\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", o.owner, len(body))
	answers := bufio.NewReader(conn)
	if code := exchange(t, conn, answers, head+body); !strings.Contains(code, `"valid":true`) {
		t.Fatalf("before: %s", code)
	}
	if _, err := io.WriteString(conn, head+body[:10]); err != nil {
		t.Fatal(err)
	}
	two.becomes("/healthz", http.StatusOK, "ok") // it has had time to read the beginning
	if err := two.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if receipt := one.revoke(o.owner, "bot"); receipt["confirmed"] != true {
		t.Errorf("the receipt %v", receipt)
	}
	if answer := exchange(t, conn, answers, body[10:]); strings.Contains(answer, `"valid":true`) {
		t.Errorf("what it was asked before it was told to stop is answered with %s", answer)
	}
	if answer := exchange(t, conn, answers, head+body); strings.Contains(answer, `"valid":true`) {
		t.Errorf("on the same connection it answers %s", answer)
	}
	if err := <-two.ended; err != nil {
		t.Errorf("it ends with %v\n%s", err, two.words())
	}
	o.until(`SELECT COUNT(*) FROM nodes`, 1)
}

// exchange sends something and returns the body of the answer, or why there is none.
func exchange(t *testing.T, conn net.Conn, answers *bufio.Reader, text string) string {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return err.Error()
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(said)
}
