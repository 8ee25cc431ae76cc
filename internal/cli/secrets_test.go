package cli_test

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/posternhq/postern/api"
)

const createKeyLine = "POST " + W + "service_accounts/bot/keys"

// mints answers the creation of a key with a value.
func mints(w *world) {
	w.answer("GET "+W+"service_accounts/bot/keys", list[api.Key]())
	w.answer(createKeyLine, api.CreatedKey{Key: key(keyID, "bot", "prod-2026-11"), Value: newValue, Revision: 3})
}

func TestValueGoesToTheFilesAndNowhereElse(t *testing.T) {
	for _, format := range [][]string{nil, {"--json"}, {"-o", "jsonl"}, {"-o", "csv"}, {"--field", "id"}} {
		w := newWorld(t)
		mints(w)
		r := w.must(append([]string{"key", "create", "bot", "--out-env", w.file("bot.env"), "--out-header", w.file("bot.h")}, format...)...)
		for name, want := range map[string]string{
			"bot.env": "POSTERN_KEY=" + newValue + "\n",
			"bot.h":   "Authorization: Bearer " + newValue + "\n",
		} {
			got, err := os.ReadFile(w.file(name))
			if err != nil || string(got) != want {
				t.Errorf("%s holds %q, %v", name, got, err)
			}
			if info, err := os.Stat(w.file(name)); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v; want 0600", name, info.Mode(), err)
			}
		}
		if strings.Contains(r.stdout+r.stderr, newValue[7:15]) {
			t.Errorf("%v: the value is shown as well:\n%s%s", format, r.stdout, r.stderr)
		}
	}
}

// A value that has no place to go is never made.
func TestKeyIsNotMadeWhenItsValueWouldBeLost(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no such folder": {[]string{"--out-header", "/nonexistent/folder/bot.h"}, "could not be kept"},
		"a folder":       {[]string{"--out-env", "."}, "not a regular file"},
		"no terminal":    {nil, "is no terminal"},
		"another field":  {[]string{"--field", "id"}, "would lose the value"},
		"CSV":            {[]string{"-o", "csv"}, "would lose the value"},
		"a device":       {[]string{"--out-env", "/dev/null"}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			mints(w)
			w.run(append([]string{"key", "create", "bot"}, tt.args...)...).wants(t, 2, tt.want)
			if slices.Contains(w.lines(), createKeyLine) {
				t.Error("the key was made")
			}
		})
	}
}

func TestValueIsShownOnceOnATerminal(t *testing.T) {
	w := newWorld(t)
	mints(w)
	w.looking = true
	r := w.must("key", "create", "bot")
	if n := strings.Count(r.stdout+r.stderr, newValue); n != 1 {
		t.Errorf("the value is there %d times, want once:\n%s%s", n, r.stdout, r.stderr)
	}
	if got := w.must("key", "create", "bot", "--field", "value").stdout; got != newValue+"\n" {
		t.Errorf("--field value: %q", got)
	}
}

func TestFailureLeavesNoFileBehind(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"service_accounts/bot/keys", list[api.Key]())
	w.answer(createKeyLine, &api.Problem{Status: 403, Code: api.CodePermissionDenied, Detail: "no"})
	if err := os.WriteFile(w.file("bot.h"), []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run("key", "create", "bot", "--out-header", w.file("bot.h"), "--out-env", w.file("new.env")).wants(t, 5)
	if got, err := os.ReadFile(w.file("bot.h")); string(got) != "what was there" {
		t.Errorf("bot.h holds %q, %v", got, err)
	}
	entries, err := os.ReadDir(w.home)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestSecretIsReadAsItWasWritten(t *testing.T) {
	for name, text := range map[string]string{
		"alone": testKey, "with a line's end": testKey + "\r\n",
		"as a header": "Authorization: Bearer " + testKey + "\n", "as a variable": "POSTERN_KEY=" + testKey + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var body string
			w.answer("POST /v1/verify", func(a asked) any { body = a.body; return api.Verdict{Valid: true, Code: "valid"} })
			w.stdin = text
			w.must("key", "verify", "--key", "-")
			if want := `{"key":"` + testKey + `"}`; body != want {
				t.Errorf("from stdin: asked %s, want %s", body, want)
			}
			if err := os.WriteFile(w.file("k"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			delete(w.env, "POSTERN_KEY")
			w.env["POSTERN_KEY_FILE"] = w.file("k")
			w.must("key", "verify", "--key-file", w.file("k"))
			if got := w.heard[len(w.heard)-1].key; got != testKey {
				t.Errorf("signed in with %q", got)
			}
		})
	}
}

func TestWhatIsNoSecretIsNotSent(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "several lines": "a\nb\n", "endless": strings.Repeat("x", 5000)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.stdin = text
			w.run("key", "verify", "--key", "-").wants(t, 2, "does not hold a secret")
			if len(w.heard) != 0 {
				t.Errorf("the server heard %v", w.lines())
			}
		})
	}
}

func TestRefusedKeyExits1(t *testing.T) {
	w := newWorld(t)
	w.stdin = testKey
	w.answer("POST /v1/verify", api.Verdict{Code: "revoked"})
	r := w.run("key", "verify", "--key", "-")
	r.wants(t, 1)
	if !strings.Contains(r.stdout, "revoked") || r.stderr != "" {
		t.Errorf("said %q, %q", r.stdout, r.stderr)
	}
}

const revokeLine = "POST " + W + "service_accounts/" + accountID + "/revoke"

func revocable(w *world) {
	w.answer("GET "+W+"service_accounts/bot", account("bot"))
	w.answer("GET "+W+"service_accounts/"+accountID, account("bot"))
	w.answer(revokeLine, api.ServiceAccountAnswer{ServiceAccount: account("bot"), Receipt: receipt()})
}

func TestRevokingAsksForTheName(t *testing.T) {
	for name, tt := range map[string]struct {
		typed  string
		typing bool
		args   []string
		code   int
		want   string
	}{
		"typed":                     {typed: "bot\n", typing: true, code: 0, want: "Type bot to revoke it"},
		"typed with a CR":           {typed: "bot\r\n", typing: true, code: 0},
		"typed wrong":               {typed: "bob\n", typing: true, code: 1, want: "nothing was done"},
		"nothing typed":             {typed: "", typing: true, code: 1},
		"yes is not a name":         {typed: "yes\n", typing: true, code: 1, want: "nothing was done"},
		"confirmed":                 {args: []string{"--confirm", "bot"}, code: 0},
		"confirmed wrong":           {args: []string{"--confirm", "bob"}, code: 2, want: "nothing was done"},
		"no terminal":               {typed: "bot\n", code: 2, want: "say --confirm bot"},
		"asked not to ask":          {typed: "bot\n", typing: true, args: []string{"--no-input"}, code: 2, want: "say --confirm bot"},
		"confirmed by id, not name": {args: []string{"--confirm", accountID}, code: 2, want: "nothing was done"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			revocable(w)
			w.stdin, w.typing = tt.typed, tt.typing
			w.run(append([]string{"sa", "revoke", accountID}, tt.args...)...).wants(t, tt.code, tt.want)
			if did := slices.Contains(w.lines(), revokeLine); did != (tt.code == 0) {
				t.Errorf("revoked: %t", did)
			}
		})
	}
}

func TestOtherDangersAskToo(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"members", list(api.Member{ID: memberID, Name: "Sam", Email: "sam@example.com"}))
	w.answer("GET "+W+"members/"+memberID, api.Member{ID: memberID, Name: "Sam", Email: "sam@example.com"})
	w.answer("GET "+W+"invitations", list[api.Invitation]())
	w.answer("GET /v1/workspaces/globex", api.Workspace{ID: "ws_1", Slug: "globex"})
	w.answer("GET "+W+"keys", list(key(keyID, "bot", "nightly")))
	w.answer("GET "+W+"keys/"+keyID, key(keyID, "bot", "nightly"))
	for _, args := range [][]string{
		{"member", "remove", "sam@example.com"}, {"workspace", "pause", "globex"}, {"key", "revoke", "nightly", "--descendants"},
	} {
		w.run(args...).wants(t, 2, "say --confirm")
	}
	for _, line := range w.lines() {
		if !strings.HasPrefix(line, "GET ") {
			t.Errorf("the server heard %s", line)
		}
	}
}

func TestInvitationTokenGoesWhereItIsToGo(t *testing.T) {
	w := newWorld(t)
	token := "inv_" + strings.Repeat("Ab3", 11)
	w.answer("POST "+W+"invitations", api.CreatedInvitation{Invitation: api.Invitation{ID: "inv_1", Email: "sam@example.com"}, Token: token})
	r := w.must("member", "invite", "sam@example.com", "--json", "--out-token", w.file("t"))
	if got, err := os.ReadFile(w.file("t")); err != nil || string(got) != token+"\n" || strings.Contains(r.stdout+r.stderr, token) {
		t.Errorf("the file holds %q, %v; shown: %s", got, err, r.stdout)
	}
	var sent asked
	w.answer("POST /v1/invitations/accept", func(a asked) any {
		sent = a
		return api.AcceptedInvitation{Member: api.Member{ID: memberID, Name: "Sam"}, Key: &api.NewKey{Key: key(keyID, "Sam", "laptop"), Value: newValue}}
	})
	r = w.must("member", "accept", "--token-file", w.file("t"), "--name", "Sam", "--key-name", "laptop", "--out-header", w.file("h"), "--json")
	if sent.key != "" || !strings.Contains(sent.body, token) || strings.Contains(r.stdout, newValue) {
		t.Errorf("sent %+v; shown: %s", sent, r.stdout)
	}
	if info, err := os.Stat(w.file("h")); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the key's file: %v, %v", info, err)
	}
}
