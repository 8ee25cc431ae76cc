package postern_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/posternhq/postern"

// mayImport says, for each package of this module, which others of it its own
// code may import: imports point down only. A package that is not listed fails
// the test: put it in its place. "*" may import everything; "." is the SDK.
var mayImport = map[string]string{
	"api":                "",
	"internal/token":     "",
	"internal/audit":     "",
	"internal/prefetch":  "",
	"internal/config":    "",
	"internal/iam":       "internal/token internal/audit",
	"internal/replica":   "internal/iam internal/token internal/audit",
	"internal/fence":     "internal/iam internal/replica",
	"internal/store":     "internal/iam internal/token internal/audit",
	"internal/usage":     "internal/iam internal/prefetch",
	"internal/standin":   "internal/fence internal/replica internal/token internal/usage",
	"internal/console":   "internal/static",
	"internal/docs":      "docs internal/static",
	"internal/static":    "",
	"docs":               "",
	"internal/stream":    "internal/iam",
	"internal/relay":     "api internal/iam internal/token internal/replica",
	"internal/server":    "api internal/relay internal/iam internal/token internal/audit internal/replica internal/stream internal/bearer",
	"internal/session":   "api internal/iam internal/token",
	"internal/gateway":   "internal/iam internal/token internal/replica internal/bearer",
	"":                   "api internal/token internal/iam internal/replica internal/fence internal/usage internal/bearer internal/relay internal/standin",
	"internal/cli":       "*",
	"internal/bench":     "*",
	"internal/attacks":   "",
	"internal/clientgen": "",
	"internal/chaos":     "internal/store/storetest internal/gateway/gatewaytest",

	"internal/chaos/outside":       ". api",
	"internal/gateway/gatewaytest": "",
	"cmd/postern":                  "*",

	"internal/bearer": "api internal/token internal/replica",

	"posterntest": "*",

	"examples/manage":  ". api",
	"examples/protect": ".",

	"internal/session/providertest":   "",
	"internal/session/sessiontest":    "",
	"internal/store/storetest":        "internal/iam internal/token internal/audit",
	"internal/store/storetest/many":   "internal/store internal/store/storetest",
	"internal/store/storetest/withpg": "internal/store/storetest",
}

// mayUse says which modules each package may import from, and why they are here.
// A module that is not listed fails the test; so does one that nothing uses.
var mayUse = map[string]string{
	"github.com/danielgtaylor/huma/v2":    "internal/server",                                        // OpenAPI from the same definitions as the handlers
	"github.com/prometheus/client_golang": "internal/server",                                        // metrics
	"modernc.org/sqlite":                  "internal/store",                                         // SQLite without cgo
	"github.com/jackc/pgx/v5":             "internal/store internal/store/storetest internal/chaos", // PostgreSQL
	"github.com/spf13/cobra":              "internal/cli",                                           // commands, help and completion
	"github.com/spf13/pflag":              "internal/cli internal/config",                           // cobra's flags
	"github.com/yuin/goldmark":            "internal/docs",                                          // pages of the documentation
	"github.com/BurntSushi/toml":          "internal/config internal/cli",                           // the configuration file
	"github.com/zalando/go-keyring":       "internal/cli",                                           // where the CLI keeps its key
	"golang.org/x/term":                   "internal/cli",                                           // is this a terminal?
	"github.com/go-webauthn/webauthn":     "internal/session",                                       // passkeys
	"github.com/wneessen/go-mail":         "internal/session",                                       // invitations by mail
	"golang.org/x/crypto":                 "internal/session",                                       // argon2 for passwords
	"github.com/coreos/go-oidc/v3":        "internal/session",                                       // single sign-on
	"golang.org/x/oauth2":                 "internal/session",                                       // its code flow, with PKCE
	"github.com/zitadel/oidc/v3":          "internal/session/providertest",                          // a real provider, for tests
	"github.com/go-jose/go-jose/v4":       "internal/session/providertest",                          // and what it signs with when it lies
	"github.com/google/go-cmp":            "internal/store/storetest",                               // what is different about two nouns

	"google.golang.org/grpc":                       "internal/gateway internal/bench", // what Envoy asks over
	"google.golang.org/protobuf":                   "internal/gateway internal/bench", // and in
	"google.golang.org/genproto/googleapis/rpc":    "internal/gateway internal/bench", // the status in its answers
	"github.com/envoyproxy/go-control-plane/envoy": "internal/gateway internal/bench", // its messages
	"golang.org/x/net":                             "internal/bench",                  // frames of HTTP/2, for asking it without a client's cost
}

// onlyStd lists the packages that import nothing from outside but the standard
// library: what others build on, and what decides who may do what.
var onlyStd = []string{"", "api", "internal/token", "internal/audit", "internal/iam", "internal/replica", "internal/fence", "internal/usage", "internal/standin", "internal/bearer", "internal/stream", "internal/static", "internal/console", "docs"}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var ps []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

func relative(path string) (string, bool) {
	rest, ours := strings.CutPrefix(path, module)
	return strings.TrimPrefix(rest, "/"), ours
}

func TestImportsPointDown(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		pkg, _ := relative(p.ImportPath)
		allowed, listed := mayImport[pkg]
		seen[pkg] = true
		if !listed {
			t.Errorf("package %q is not in mayImport: put it in its place", pkg)
		}
		for _, imp := range p.Imports {
			rest, ours := relative(imp)
			rest = cmp.Or(rest, ".")
			if ours && allowed != "*" && !slices.Contains(strings.Fields(allowed), rest) {
				t.Errorf("%q must not import %q", pkg, rest)
			}
		}
	}
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("mayImport lists %q, which is not there", pkg)
		}
	}
}

func TestModulesAreAllowed(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		pkg, _ := relative(p.ImportPath)
		for _, imp := range p.Imports {
			host, _, _ := strings.Cut(imp, "/")
			if _, ours := relative(imp); ours || !strings.Contains(host, ".") {
				continue
			}
			if slices.Contains(onlyStd, pkg) {
				t.Errorf("%q must not import %s: only the standard library", pkg, imp)
			}
			mod := moduleOf(imp)
			used[mod] = true
			if !slices.Contains(strings.Fields(mayUse[mod]), pkg) {
				t.Errorf("%q must not import %s: mayUse does not say so", pkg, imp)
			}
		}
	}
	for mod := range mayUse {
		if !used[mod] {
			t.Errorf("mayUse lists %s, which nothing imports", mod)
		}
	}
}

// moduleOf returns the listed module that an import belongs to, or the import.
func moduleOf(imp string) string {
	for mod := range mayUse {
		if imp == mod || strings.HasPrefix(imp, mod+"/") {
			return mod
		}
	}
	return imp
}

// onlyTests lists what no program may have in it.
var onlyTests = []string{"github.com/zitadel", "github.com/rogpeppe", "pgregory.net", "github.com/google/go-cmp", "testing", "net/http/httptest"}

func TestProgramHasNothingOfTheTests(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/postern").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		for _, only := range onlyTests {
			if dep == only || strings.HasPrefix(dep, only+"/") {
				t.Errorf("the program has %s in it, which is for tests", dep)
			}
		}
	}
}

// TestModulesOfTheirOwnAreTested looks for modules beside this one that make test
// passes over.
func TestModulesOfTheirOwnAreTested(t *testing.T) {
	var found []string
	for _, pattern := range []string{"*/go.mod", "*/*/go.mod"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			found = append(found, filepath.Dir(file))
		}
	}
	_, rest, _ := strings.Cut(read(t, "Makefile"), "\nMODULES := ")
	tested, _, _ := strings.Cut(rest, "\n")
	if !slices.Equal(found, strings.Fields(tested)) {
		t.Errorf("there are the modules %q, and make test tests %q", found, tested)
	}
}
