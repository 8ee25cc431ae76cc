package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/posternhq/postern/internal/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

// load reads settings as a command that was called with args would.
func load(t *testing.T, environ []string, file string, args ...string) (config.Loaded, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Register(fs, nil)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "postern.toml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Load(fs, environ, path)
}

func TestGoldenReferenceIsWhatTheTagsSay(t *testing.T) {
	const path = "../../docs/reference/configuration.md"
	got := config.Reference()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is not what the tags say; run make generate (-file +tags):\n%s", path, d)
	}
}

func TestFlagWinsOverEnvironmentWinsOverFile(t *testing.T) {
	file := "listen = \"file:1\"\nnode-name = \"file\"\nbehind-proxy = true\n[store]\nurl = \"sqlite:file.db\"\n[key]\nformer-prefixes = [\"old\", \"older\"]\n"
	env := []string{"POSTERN_LISTEN=env:1", "POSTERN_STORE_URL=sqlite:env.db", "POSTERN_LOG_LEVEL="}
	got, err := load(t, env, file, "--listen", "flag:1")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Listen: "flag:1", StoreURL: "sqlite:env.db", NodeName: "file", BehindProxy: true,
		LeaseTTL: "5s", Consistency: "strict", Durability: "required",
		KeyPrefix: "pst", FormerPrefixes: []string{"old", "older"}, OIDCName: "single sign-on", SMTPTLS: "starttls", LogLevel: "info", LogFormat: "auto",
	}
	if d := cmp.Diff(want, got.Config); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	from := map[string]string{}
	for _, s := range got.Show() {
		from[s.Name] = s.From
	}
	for name, want := range map[string]string{"listen": "--listen", "store.url": "POSTERN_STORE_URL", "log.level": "default"} {
		if from[name] != want {
			t.Errorf("%s is from %q, want %q", name, from[name], want)
		}
	}
	if !strings.HasSuffix(from["node-name"], "postern.toml") {
		t.Errorf("node-name is from %q, want the file", from["node-name"])
	}
}

func TestEveryBoolFlagMayStandAlone(t *testing.T) {
	got, err := load(t, nil, "", "--behind-proxy", "--key-former-prefixes", "a1,b2")
	if err != nil || !got.BehindProxy || len(got.FormerPrefixes) != 2 {
		t.Errorf("got %+v, %v", got.Config, err)
	}
}

func TestWhatNobodyKnowsIsAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		env  []string
		file string
		want string
	}{
		"misspelt variable": {env: []string{"POSTERN_STOREURL=x"}, want: "no setting POSTERN_STOREURL; did you mean POSTERN_STORE_URL?"},
		"strange variable":  {env: []string{"POSTERN_COLOUR_OF_THE_DOOR=x"}, want: "no setting POSTERN_COLOUR_OF_THE_DOOR"},
		"misspelt key":      {file: "[store]\nulr = \"x\"", want: "no setting store.ulr; did you mean store.url?"},
		"strange table":     {file: "[cache]\nttl = \"x\"", want: "no setting cache.ttl"},
		"another type":      {file: "listen = 7070", want: "listen must be a text"},
		"a list of numbers": {file: "[key]\nformer-prefixes = [1]", want: "key.former-prefixes must be a list of texts"},
		"a text for a bool": {file: "behind-proxy = \"yes\"", want: "behind-proxy must be true or false"},
		"not a bool":        {env: []string{"POSTERN_BEHIND_PROXY=maybe"}, want: "POSTERN_BEHIND_PROXY: behind-proxy: write true or false"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.env, tt.file)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestVariablesThatOthersSetAreLeftAlone(t *testing.T) {
	env := []string{
		"POSTERN_SERVER=https://x", "POSTERN_KEY=k", "POSTERN_TEST_POSTGRES=x", "PATH=/bin", "NO_EQUALS",
		"POSTERN_SERVICE_HOST=10.0.0.1", "POSTERN_SERVICE_PORT=80", "POSTERN_SERVICE_PORT_HTTP=80", "POSTERN_PORT=tcp://10.0.0.1:80",
		"POSTERN_PORT_80_TCP_ADDR=10.0.0.1", "POSTERN_API_SERVICE_HOST=10.0.0.2",
	}
	if _, err := load(t, env, ""); err != nil {
		t.Error(err)
	}
}

func TestFileThatIsMissingIsAnError(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Register(fs, nil)
	if _, err := config.Load(fs, nil, filepath.Join(t.TempDir(), "none.toml")); err == nil {
		t.Error("no error")
	}
}

// Attack E02: what is wrong with a file is said without the file's text.
func TestErrorsDoNotRepeatPasswords(t *testing.T) {
	const password = "hunter2hunter2"
	for _, file := range []string{
		"[store]\nurl = postgres://u:" + password + "@h/db",
		"[store]\nurl = \"postgres://u:" + password,
		"[store]\nurl = [\"postgres://u:" + password + "@h/db\"]",
		password + " = \n",
		"url = \"\\q" + password + "\"",
	} {
		_, err := load(t, nil, file)
		if err == nil {
			t.Errorf("%q: no error", file)
		} else if strings.Contains(err.Error(), password) {
			t.Errorf("the password is in %q", err)
		}
	}
	for _, url := range []string{"mysql://u:" + password + "@h/db", "postgres://u:" + password + "@h:port/db"} {
		loaded, err := load(t, []string{"POSTERN_STORE_URL=" + url}, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := loaded.Validate(); err == nil || strings.Contains(err.Error(), password) {
			t.Errorf("got %v, want an error without the password", err)
		}
	}
}

func TestMaskURLHidesEveryPassword(t *testing.T) {
	for in, want := range map[string]string{
		"sqlite:postern.db":                               "sqlite:postern.db",
		"postgres://u@h/db":                               "postgres://u@h/db",
		"postgres://u:secret@h/db":                        "postgres://u:xxxxx@h/db",
		"postgres://h/db?user=u&password=secret":          "postgres://h/db?password=xxxxx&user=u",
		"postgres://h/db?sslpassword=secret":              "postgres://h/db?sslpassword=xxxxx",
		"postgres://u:sec%zzret@h/db":                     "xxxxx",
		"host=h user=u password=secret dbname=d":          "xxxxx",
		"postgres://u:secret@h:1,h2:2/db?sslmode=disable": "postgres://u:xxxxx@h:1,h2:2/db?sslmode=disable",
	} {
		if got := config.MaskURL(in); got != want {
			t.Errorf("MaskURL(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestShowHidesThePassword(t *testing.T) {
	loaded, err := load(t, nil, "", "--store-url", "postgres://u:secret@h/db")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range loaded.Show() {
		if strings.Contains(s.Value, "secret") && s.Name == "store.url" {
			t.Errorf("%s: %s", s.Name, s.Value)
		}
	}
}

func TestListeningBeyondLoopbackNeedsEncryption(t *testing.T) {
	for args, refused := range map[string]bool{
		"--listen localhost:7070":                                   false,
		"--listen 127.0.0.1:0":                                      false,
		"--listen [::1]:7070":                                       false,
		"--listen :7070":                                            true,
		"--listen 0.0.0.0:7070":                                     true,
		"--listen postern.internal:443":                             true,
		"--listen 192.0.2.1:7070":                                   true,
		"--listen [::ffff:192.0.2.1]:7070":                          true,
		"--listen :7070 --behind-proxy":                             false,
		"--listen :7070 --tls-cert c.pem --tls-key k.pem":           false,
		"--listen :7070 --tls-cert c.pem":                           true,
		"--listen localhost:7070 --tls-key k.pem":                   true,
		"--listen localhost":                                        true,
		"--metrics-listen nowhere":                                  true,
		"--fast-listen localhost:7072":                              false,
		"--fast-listen 127.0.0.1:0 --listen 127.0.0.1:0":            false,
		"--fast-listen :7072 --behind-proxy":                        false,
		"--fast-listen :7072 --tls-cert c.pem --tls-key k.pem":      false,
		"--fast-listen :7072":                                       true,
		"--fast-listen postern.internal:7072":                       true,
		"--fast-listen localhost":                                   true,
		"--fast-listen localhost:7070":                              true,
		"--gateway-listen 127.0.0.1:7071":                           false,
		"--gateway-listen localhost:0 --gateway-workspace acme":     false,
		"--gateway-listen [::1]:7071":                               false,
		"--gateway-listen unix:/run/postern/gateway.sock":           false,
		"--gateway-listen :7071":                                    true,
		"--gateway-listen 0.0.0.0:7071":                             true,
		"--gateway-listen 192.0.2.1:7071 --behind-proxy":            true,
		"--gateway-listen postern.internal:7071":                    true,
		"--gateway-listen 127.0.0.1":                                true,
		"--gateway-listen unix:":                                    true,
		"--gateway-listen unix:@postern":                            true,
		"--gateway-workspace acme":                                  true,
		"--public-url postern.internal":                             true,
		"--public-url https://u:p@postern.internal":                 true,
		"--log-level loud":                                          true,
		"--log-format xml":                                          true,
		"--store-url sqlite:":                                       true,
		"--store-url postgres://h/db":                               true,
		"--store-url postgres://h/db --secret-file root.secret":     false,
		"--store-url postgresql://h/db --secret-file root.secret":   false,
		"--public-url https://postern.internal --log-level debug":   false,
		"--metrics-listen localhost:9090 --log-format json":         false,
		"--store-url sqlite:/var/lib/postern/postern.db":            false,
		"--listen 127.0.0.1:7070 --tls-cert c.pem --tls-key k.pem ": false,
	} {
		t.Run(args, func(t *testing.T) {
			loaded, err := load(t, nil, "", strings.Fields(args)...)
			if err != nil {
				t.Fatal(err)
			}
			if err := loaded.Validate(); (err != nil) != refused {
				t.Errorf("got %v, want refused: %t", err, refused)
			}
		})
	}
}

func TestSecretStandsBesideTheSQLiteFile(t *testing.T) {
	for _, tt := range []struct{ store, file, want string }{
		{"sqlite:postern.db", "", "postern.secret"},
		{"sqlite:/var/lib/postern/data", "", "/var/lib/postern/data.secret"},
		{"sqlite:postern.db", "/etc/postern/root", "/etc/postern/root"},
		{"postgres://h/db", "", ""},
	} {
		if got := (config.Config{StoreURL: tt.store, SecretFile: tt.file}).SecretPath(); got != tt.want {
			t.Errorf("%s, %q: got %q, want %q", tt.store, tt.file, got, tt.want)
		}
	}
}

func TestLeaseIsWhatTheSettingsSay(t *testing.T) {
	for args, want := range map[string]config.Lease{
		"":                          {TTL: 5 * time.Second},
		"--lease-ttl 1s":            {TTL: time.Second},
		"--lease-ttl 60s":           {TTL: time.Minute},
		"--consistency bounded(2m)": {TTL: 5 * time.Second, Bounded: 2 * time.Minute},
		"--lease-ttl 999ms":         {},
		"--lease-ttl 61s":           {},
		"--lease-ttl 5":             {},
		"--consistency eventual":    {},
		"--consistency bounded":     {},
		"--consistency bounded(0s)": {},
		"--consistency bounded(5s":  {},
		"--durability none":         {},
	} {
		loaded, err := load(t, nil, "", strings.Fields(args)...)
		if err != nil {
			t.Fatal(err)
		}
		err = loaded.Validate()
		if want == (config.Lease{}) {
			if name := strings.TrimPrefix(strings.Fields(args)[0], "--"); err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(name, "-", ".")+": write") {
				t.Errorf("%s: got %v, want an error that says what to write", args, err)
			}
			continue
		}
		if got, failed := loaded.Lease(); got != want || failed != nil || err != nil {
			t.Errorf("%q: got %+v, %v, %v; want %+v", args, got, failed, err, want)
		}
	}
}

func TestMailNeedsAllThatItTakes(t *testing.T) {
	whole := []string{"--smtp-address", "smtp.example.com:587", "--smtp-from", "postern@example.com"}
	if c, err := load(t, nil, "", whole...); err != nil || c.Validate() != nil {
		t.Errorf("all of it: %v, %v", err, c.Validate())
	}
	for name, more := range map[string][]string{
		"no port":                   {"--smtp-address", "smtp.example.com"},
		"no sender":                 {"--smtp-from", ""},
		"in the open":               {"--smtp-tls", "none"},
		"a way that there is not":   {"--smtp-tls", "ssl"},
		"a name without a password": {"--smtp-username", "postern"},
		"a password without a name": {"--smtp-password-file", "password"},
	} {
		if c, err := load(t, nil, "", append(whole[:len(whole):len(whole)], more...)...); err != nil || c.Validate() == nil {
			t.Errorf("%s: %v, want a setting that makes no sense", name, err)
		}
	}
}
