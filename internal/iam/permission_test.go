package iam_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
)

// grants reads a set of grants with spaces between them.
func grants(t rapid.TB, texts string) iam.Permissions {
	t.Helper()
	ps, err := iam.ParsePermissions("/permissions", strings.Fields(texts))
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// asked reads a permission as a caller asks for it.
func asked(t rapid.TB, text string) iam.Permission {
	t.Helper()
	p, err := iam.ParsePermission(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

func TestPermissionsAskedForAreOfOneForm(t *testing.T) {
	for text, want := range map[string]iam.Permission{
		"agents:execute":                   {Type: "agents", Action: "execute"},
		"agents/support-bot:execute":       {Type: "agents", ID: "support-bot", Action: "execute"},
		"a:b":                              {Type: "a", Action: "b"},
		"a_1_:b_2_":                        {Type: "a_1_", Action: "b_2_"},
		"agents/A.z_0@x-9:read":            {Type: "agents", ID: "A.z_0@x-9", Action: "read"},
		"agents/-:read":                    {Type: "agents", ID: "-", Action: "read"},
		"agents/..:read":                   {Type: "agents", ID: "..", Action: "read"},
		"iamx:read":                        {Type: "iamx", Action: "read"},
		"iam.service_accounts:write":       {Type: "iam.service_accounts", Action: "write"},
		"iam.keys:verify":                  {Type: "iam.keys", Action: "verify"},
		"iam.audit:export":                 {Type: "iam.audit", Action: "export"},
		"iam.owners:write":                 {Type: "iam.owners", Action: "write"},
		strings.Repeat("a", 251) + ":read": {Type: strings.Repeat("a", 251), Action: "read"},
	} {
		got, err := iam.ParsePermission(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
}

// notEven are texts that are neither a permission nor a grant.
var notEven = []string{
	"", ":", "/", "agents", "agents:", ":read", "/x:read", "agents/:read", "agents/x", "agents/x:", "agents:read:write", "agents/x/y:read", "agents:read/x",
	"Agents:read", "agents:Read", "1agents:read", "agents:1read", "_agents:read", "agents:_read", "agent-s:read", "agents:re-ad", "agents.x:read", "agents:re.ad",
	" agents:read", "agents:read ", "agents: read", "agents:read\n", "agents\x00:read", "agents:read\x00", "\ufeffagents:read", "agënts:read", "agents:réad", "ａgents:read",
	"agents/x y:read", "agents/é:read", "agents/x+y:read", "agents/x%20:read", "agents/x\n:read", "agents/\xff:read", "agents/x~:read", "agents/(x):read", "agents/x,y:read",
	"iam:read", "iam.:read", "iam.x:read", "iam.Keys:read", "iam.keys.x:read", "iam.keys:delete", "iam.keys:execute", "iam.audit:write", "iam.owners:read", "iam.members:export",
	"iam.keys/x:read", "iam.keys/:read", "iam./x:read", "iam/x:read", "agents*:read", "agents:re*", "agents:**", "**:read", "a*b:read", "*agents:read",
	"agents/a*b:read", "agents/*a:read", "agents/**:read", "agents/a**:read", "agents/?:read", "*/x:read", "*/*:read", "*/:read", "iam.*/x:read", "iam.*/*:read", "iam.*.x:read", "iam.**:read",
	strings.Repeat("a", 252) + ":read", "agents/" + strings.Repeat("x", 1<<20) + ":read",
}

func TestWildcardsAreNotAskedFor(t *testing.T) {
	for _, text := range slices.Concat(notEven, []string{"*", "*:*", "*:read", "agents:*", "agents/*:read", "agents/x*:read", "agents/x:*", "iam.*:read", "iam.*:*", "iam.keys:*"}) {
		if p, err := iam.ParsePermission(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, p)
		}
	}
}

func TestGrantsAreOfOneForm(t *testing.T) {
	for text, want := range map[string]iam.Grant{
		"*:*":                     {Type: "*", Action: "*"},
		"*:read":                  {Type: "*", Action: "read"},
		"*:approve":               {Type: "*", Action: "approve"},
		"agents:*":                {Type: "agents", Action: "*"},
		"agents:execute":          {Type: "agents", Action: "execute"},
		"agents/support-bot:read": {Type: "agents", ID: "support-bot", Action: "read"},
		"agents/team-*:*":         {Type: "agents", ID: "team-", Prefix: true, Action: "*"},
		"agents/*:read":           {Type: "agents", Prefix: true, Action: "read"},
		"iam.*:*":                 {Type: "iam.*", Action: "*"},
		"iam.*:read":              {Type: "iam.*", Action: "read"},
		"iam.*:verify":            {Type: "iam.*", Action: "verify"},
		"iam.keys:*":              {Type: "iam.keys", Action: "*"},
		"iam.keys:verify":         {Type: "iam.keys", Action: "verify"},
		"iam.owners:write":        {Type: "iam.owners", Action: "write"},
	} {
		got, err := iam.ParseGrant(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
	for _, text := range slices.Concat(notEven, []string{"*", "iam.*", "*:", "iam.*:execute", "iam.*:delete", "iam.owners:*", "iam.x:*", "iam.:*", "iam.KEYS:*", "iam.keys/*:read", "iam:*"}) {
		if g, err := iam.ParseGrant(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, g)
		}
	}
}

// TestStatementsOfTheGrammar holds what product.md's readers were promised, one
// statement each.
func TestStatementsOfTheGrammar(t *testing.T) {
	for _, tt := range []struct{ statement, grants, allowed, refused string }{
		{"a grant on a type covers each of its objects", "agents:execute", "agents:execute agents/x:execute", "agents:read tools:execute agentsx:execute"},
		{"a grant on an object does not cover its type", "agents/x:execute", "agents/x:execute", "agents:execute agents/xy:execute agents/X:execute agents/x:read"},
		{"a prefix matches ids that begin so", "agents/bot*:read", "agents/bot:read agents/bot-1:read", "agents/bo:read agents/Bot:read agents/a-bot:read agents:read"},
		{"every id is not the type", "agents/*:read", "agents/x:read", "agents:read"},
		{"an action may be any", "agents:*", "agents:read agents/x:approve", "tools:read"},
		{"a type may be any, registered or not", "*:read", "agents:read agents/x:read tomorrow:read", "agents:write"},
		{"any type is no type of iam", "*:*", "agents:read iamx:write", "iam.keys:read iam.keys:verify iam.audit:export iam.owners:write iam.settings:write"},
		{"any type of iam is not the product", "iam.*:*", "iam.keys:verify iam.audit:export iam.members:write", "agents:read iamx:read"},
		{"no wildcard matches iam.owners", "*:* iam.*:* iam.*:write *:write", "iam.workspaces:write", "iam.owners:write"},
		{"only its name matches iam.owners", "iam.owners:write", "iam.owners:write", "iam.members:write"},
		{"an action of iam may be any", "iam.keys:*", "iam.keys:read iam.keys:write iam.keys:verify", "iam.audit:read"},
		{"an action of any type of iam", "iam.*:read", "iam.keys:read iam.audit:read", "iam.keys:write iam.keys:verify iam.audit:export"},
		{"an empty set allows nothing", "", "", "agents:read iam.keys:read"},
	} {
		ps := grants(t, tt.grants)
		for text := range strings.FieldsSeq(tt.allowed) {
			if !ps.Allow(asked(t, text)) {
				t.Errorf("%s: %s refuses %s", tt.statement, tt.grants, text)
			}
		}
		for text := range strings.FieldsSeq(tt.refused) {
			if ps.Allow(asked(t, text)) {
				t.Errorf("%s: %s allows %s", tt.statement, tt.grants, text)
			}
		}
	}
}

func TestEachGrantIsCoveredByOneGrant(t *testing.T) {
	for _, tt := range []struct {
		holds, wants string
		missing      string // empty: covered
	}{
		{"agents:execute", "agents/x:execute", ""},
		{"agents/x:execute", "agents:execute", "agents:execute"},
		{"agents:read", "agents/*:read", ""},
		{"agents/*:read", "agents:read", "agents:read"},
		{"agents/*:read", "agents/x*:read agents/y:read", ""},
		{"agents/x*:read", "agents/*:read", "agents/*:read"},
		{"agents/x:read", "agents/x*:read", "agents/x*:read"},
		{"agents:*", "agents:read agents/x:approve", ""},
		{"agents:read agents:write agents:delete agents:execute", "agents:*", "agents:*"}, // an action may be registered tomorrow
		{"*:read *:write *:delete *:execute", "*:*", "*:*"},
		{"*:*", "agents:* *:read tools/x*:approve", ""},
		{"*:*", "iam.keys:read", "iam.keys:read"},
		{"*:*", "iam.*:*", "iam.*:*"},
		{"iam.*:*", "*:*", "*:*"},
		{"iam.*:*", "iam.keys:* iam.*:read iam.audit:export", ""},
		{"iam.*:*", "iam.owners:write", "iam.owners:write"},
		{"iam.*:* *:*", "agents:read iam.keys:read iam.owners:write", "iam.owners:write"},
		{"iam.service_accounts:* iam.keys:* iam.members:* iam.roles:* iam.audit:* iam.settings:* iam.webhooks:* iam.nodes:* iam.workspaces:*", "iam.*:*", "iam.*:*"},
		{"", "", ""},
		{"", "agents:read", "agents:read"},
		{"agents:read", "", ""},
		{"agents/b:read", "agents/c:read agents/a:read agents/b:read", "agents/a:read"}, // the first in order
	} {
		holds, wants := grants(t, tt.holds), grants(t, tt.wants)
		g, missing := holds.Missing(wants)
		if missing != (tt.missing != "") || missing && g.String() != tt.missing {
			t.Errorf("%q of %q: got %s missing, %t, want %q", tt.wants, tt.holds, g, missing, tt.missing)
		}
		if got := holds.Covers(wants); got == missing {
			t.Errorf("%q covers %q: got %t, want %t", tt.holds, tt.wants, got, !missing)
		}
	}
}

func TestIntersectionIsByComponent(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{"agents:*", "*:execute", "agents:execute"},
		{"agents:execute", "agents/x:execute", "agents/x:execute"},
		{"agents/x*:read", "agents/xy*:*", "agents/xy*:read"},
		{"agents/x*:read", "agents/xyz:read", "agents/xyz:read"},
		{"agents/x*:read", "agents/y*:read", ""},
		{"agents/x:read", "agents/y:read", ""},
		{"agents/*:read", "agents:read", "agents/*:read"},
		{"agents:read", "tools:read", ""},
		{"agents:read", "agents:write", ""},
		{"*:*", "iam.*:*", ""},
		{"iam.*:read", "iam.keys:*", "iam.keys:read"},
		{"iam.*:*", "iam.owners:write", ""},
		{"*:* iam.*:* iam.owners:write", "iam.*:write iam.owners:write", "iam.*:write iam.owners:write"},
		{"*:read *:execute", "agents:* tools/a*:read", "agents:execute agents:read tools/a*:read"},
		{"*:*", "", ""},
	} {
		a, b, want := grants(t, tt.a), grants(t, tt.b), grants(t, tt.want)
		if got := a.Intersect(b); !got.Equal(want) {
			t.Errorf("%s and %s: got %v, want %v", tt.a, tt.b, got.Strings(), want.Strings())
		}
		if got := b.Intersect(a); !got.Equal(want) {
			t.Errorf("%s and %s: got %v, want %v", tt.b, tt.a, got.Strings(), want.Strings())
		}
	}
}

func TestBuiltInRolesAllowWhatTheyPromise(t *testing.T) {
	want := map[string]struct{ grants, within string }{
		iam.Viewer:   {"*:read", iam.Operator},
		iam.Operator: {"*:execute *:read", iam.Editor},
		iam.Editor:   {"*:delete *:execute *:read *:write", iam.Admin},
		iam.Verifier: {"iam.keys:verify", iam.Admin},
		iam.Admin:    {"*:* iam.*:*", iam.Owner},
		iam.Owner:    {"*:* iam.*:* iam.owners:write", iam.Owner},
	}
	roles := map[string]iam.Permissions{}
	for _, r := range iam.BuiltInRoles() {
		roles[r.Name] = r.Permissions
		if got := strings.Join(r.Permissions.Strings(), " "); got != want[r.Name].grants || !r.BuiltIn {
			t.Errorf("%s: got %s, built in %t, want %s", r.Name, got, r.BuiltIn, want[r.Name].grants)
		}
		if got, want := r.Permissions.Allow(asked(t, "iam.owners:write")), r.Name == iam.Owner; got != want {
			t.Errorf("%s: got power over owners %t, want %t", r.Name, got, want)
		}
	}
	if len(roles) != len(want) {
		t.Errorf("got %d built-in roles, want %d", len(roles), len(want))
	}
	for name, w := range want {
		if !roles[w.within].Covers(roles[name]) {
			t.Errorf("%s does not cover %s", w.within, name)
		}
		if name != w.within && roles[name].Covers(roles[w.within]) {
			t.Errorf("%s covers %s", name, w.within)
		}
	}
}

// TestAttacksOnPermissions holds what other systems fell to; each is named for
// its row in the list of attacks.
func TestAttacksOnPermissions(t *testing.T) {
	t.Run("E06", errorsDoNotRepeatWhatWasWritten)
}

// What was written may be a key in the wrong field.
func errorsDoNotRepeatWhatWasWritten(t *testing.T) {
	const secret = "pst_sa_0123456789ABCDEFGHIJKLMNOPQRSTUVW0g3fXf"
	var ps iam.Permissions
	_, permission := iam.ParsePermission(secret)
	_, grant := iam.ParseGrant("agents/" + secret + "!:read")
	_, list := iam.ParsePermissions("/limit", []string{"agents:read", secret})
	for name, err := range map[string]error{
		"permission": permission, "grant": grant, "list": list, "JSON": json.Unmarshal([]byte(`["`+secret+`"]`), &ps),
	} {
		if err == nil || strings.Contains(err.Error(), secret[7:15]) {
			t.Errorf("%s: got %v, want an error without the text", name, err)
		}
	}
	e, ok := errors.AsType[*iam.Error](list)
	if !ok || len(e.Fields) != 1 || strings.Contains(e.Fields[0].Detail, secret[7:15]) {
		t.Errorf("got %+v, want one field whose detail is without the text", e)
	}
}

func TestEveryBadPermissionIsPointedAt(t *testing.T) {
	_, err := iam.ParsePermissions("/limit", []string{"x", "agents:read", "*", "iam.owners:*"})
	e, ok := errors.AsType[*iam.Error](err)
	if !ok || e.Kind != iam.ValidationFailed {
		t.Fatalf("got %v, want a %s", err, iam.ValidationFailed)
	}
	var got []string
	for _, f := range e.Fields {
		got = append(got, f.Pointer)
	}
	if want := []string{"/limit/0", "/limit/2", "/limit/3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPermissionsReadBackFromJSON(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: `[]`, `null`: `[]`, `["agents:read"]`: `["agents:read"]`,
		`["tools:read","agents/x:read","agents:read","tools:read"]`: `["agents:read","tools:read"]`,
	} {
		var ps iam.Permissions
		if err := json.Unmarshal([]byte(text), &ps); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got, err := json.Marshal(ps); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{`{}`, `"agents:read"`, `[1]`, `["agents"]`, `[null]`, `["agents:read",""]`, `[["agents:read"]]`} {
		ps := grants(t, "tools:read")
		if err := json.Unmarshal([]byte(text), &ps); err == nil {
			t.Errorf("%s: got %v, want an error", text, ps.Strings())
		}
		if !ps.Equal(grants(t, "tools:read")) {
			t.Errorf("%s: an error left %v behind", text, ps.Strings())
		}
	}
}

func TestAskingDoesNotAllocate(t *testing.T) {
	ps := grants(t, "agents/a*:read agents/b:read iam.keys:verify tools:* *:execute")
	for _, text := range []string{"agents/abc:read", "agents/x:write", "iam.keys:verify", "tomorrow:execute"} {
		if got := testing.AllocsPerRun(1000, func() {
			p, err := iam.ParsePermission(text)
			_ = err == nil && ps.Allow(p)
		}); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", text, got)
		}
	}
}
