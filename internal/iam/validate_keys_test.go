package iam_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// keyInput gives an input both to a new key of the account subject and to one
// that it has.
type keyInput struct {
	input         string
	pointer, code string
	limit         []string
	networks      []string
	expiry        *iam.Expiry
}

func (k keyInput) create(ctx context.Context, w *world, c iam.Caller) error {
	in := iam.NewKey{Name: w.name("key"), Expiry: k.expiry}
	if k.limit != nil {
		in.Limit = &k.limit
	}
	if k.networks != nil {
		in.AllowedNetworks = &k.networks
	}
	_, _, err := w.CreateKey(ctx, c, "-", "subject", in)
	return err
}

func (k keyInput) patch(id iam.KeyID) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		p := iam.KeyPatch{Expiry: k.expiry}
		if k.limit != nil {
			p.Limit = &iam.Optional[[]string]{Value: &k.limit}
		}
		if k.networks != nil {
			p.AllowedNetworks = &iam.Optional[[]string]{Value: &k.networks}
		}
		_, err := w.UpdateKey(ctx, c, "-", id, p)
		return err
	}
}

func badKeyInputs() []keyInput {
	inputs := []keyInput{
		{"no limit at all", "/limit", "empty", []string{}, nil, nil},
		{"many permissions", "/limit", "too_many", make([]string, 257), nil, nil},
		{"not a permission", "/limit/1", "not_a_permission", []string{"agents:read", "agents"}, nil, nil},
		{"owners", "/limit/0", "owners_only", []string{"iam.owners:write"}, nil, nil},
		{"unknown action", "/limit/0", "unknown_action", []string{"agents:train"}, nil, nil},
		{"wider than the role", "/limit/1", "wider_than_role", []string{"agents:read", "tools:read"}, nil, nil},
		{"no network at all", "/allowed_networks", "empty", nil, []string{}, nil},
		{"many networks", "/allowed_networks", "too_many", nil, make([]string, 65), nil},
		{"in the past", "/expires_in", "in_the_past", nil, nil, &iam.Expiry{In: -time.Second}},
		{"at once", "/expires_at", "in_the_past", nil, nil, &iam.Expiry{At: began}},
		{"before", "/expires_at", "in_the_past", nil, nil, &iam.Expiry{At: began.Add(-time.Microsecond)}},
		{"less than a microsecond away", "/expires_at", "in_the_past", nil, nil, &iam.Expiry{At: began.Add(999 * time.Nanosecond)}},
		{"in the year 1", "/expires_at", "in_the_past", nil, nil, &iam.Expiry{At: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)}},
		{"more than a hundred years away", "/expires_in", "out_of_range", nil, nil, &iam.Expiry{In: 36_501 * 24 * time.Hour}},
		{"as far away as can be", "/expires_in", "out_of_range", nil, nil, &iam.Expiry{In: math.MaxInt64}},
		{"as long ago as can be", "/expires_in", "in_the_past", nil, nil, &iam.Expiry{In: math.MinInt64}},
		{"in the year 9999", "/expires_at", "out_of_range", nil, nil, &iam.Expiry{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}},
	}
	for _, text := range []string{
		"", "x", "10.0.0.0/33", "10.0.0.1/8", "10.0.0/8", "010.0.0.0/8", "10.0.0.0/08", "::ffff:10.0.0.0/104", "fe80::1%eth0", "2001:db8::1/32",
		"10.0.0.0/8 ", "10.0.0.0-10.0.0.9", "10.0.0.0/8,11.0.0.0/8", leakedKey,
	} {
		inputs = append(inputs, keyInput{"network " + text, "/allowed_networks/1", "not_a_network", nil, []string{"192.0.2.0/24", text}, nil})
	}
	return inputs
}

func TestKeysAreOfWhatTheAPISays(t *testing.T) {
	refuses(t, func(w *world) (list []bad) {
		w.subject()
		_, id := w.subjectKey()
		for _, k := range badKeyInputs() {
			list = append(list, bad{"new, " + k.input, k.pointer, k.code, k.create})
			list = append(list, bad{"patched, " + k.input, k.pointer, k.code, k.patch(id)})
		}
		metadata := iam.NewKey{Name: "other", Metadata: map[string]string{"a": strings.Repeat("x", 501)}}
		return append(list, bad{"metadata", "/metadata/a", "too_long", func(ctx context.Context, w *world, c iam.Caller) error {
			_, _, err := w.CreateKey(ctx, c, "-", "subject", metadata)
			return err
		}})
	})
}

// subjectKey makes a key of the account subject.
func (w *world) subjectKey() (iam.Caller, iam.KeyID) {
	w.t.Helper()
	subject, err := w.ServiceAccount(w.t.Context(), w.owner, "-", "subject")
	if err != nil {
		w.t.Fatalf("read the subject: %v", err)
	}
	key, shown := w.key(subject, iam.NewKey{})
	return w.caller(shown), key.ID
}

// What the policy of a workspace says of keys holds for new ones and for those
// whose end is changed; how long a key lives counts from when it was made.
func TestPoliciesOfKeysHold(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.subject()
		_, id := w.subjectKey()
		week := int64(7)
		w.policy(func(p iam.Policy) iam.Policy {
			p.AccountKeyDefaultDays, p.AccountKeyMaxDays = 3, &week
			p.MemberKeyDefaultDays, p.MemberKeyMaxDays = 2, &week
			return p
		})
		day := 24 * time.Hour
		w.clock.advance(day)
		for input, k := range map[string]keyInput{
			"never":                {pointer: "/expires_at", expiry: &iam.Expiry{}},
			"longer, as a time":    {pointer: "/expires_at", expiry: &iam.Expiry{At: began.Add(8*day + time.Second)}},
			"longer, as a while":   {pointer: "/expires_in", expiry: &iam.Expiry{In: 7*day + time.Second}},
			"longer by a fraction": {pointer: "/expires_at", expiry: &iam.Expiry{At: began.Add(8*day + time.Microsecond)}},
		} {
			for which, give := range map[string]ask{"new": k.create, "patched": k.patch(id), "personal": personal(k)} {
				err := give(t.Context(), w, w.owner)
				wantField(t, err, k.pointer, "policy_violation")
				want := "account_key_max_days"
				if which == "personal" {
					want = "member_key_max_days"
				}
				if e := asError(err); e.Policy != want {
					t.Errorf("%s, %s: got policy %q, want %s", which, input, e.Policy, want)
				}
			}
		}
		if err := (keyInput{expiry: &iam.Expiry{In: 7 * day}}).create(t.Context(), w, w.owner); err != nil {
			t.Errorf("a week for a new key: got error %v, want none", err)
		}
		wantField(t, (keyInput{expiry: &iam.Expiry{In: 7 * day}}).patch(id)(t.Context(), w, w.owner), "/expires_in", "policy_violation")
		if err := (keyInput{expiry: &iam.Expiry{In: 6 * day}}).patch(id)(t.Context(), w, w.owner); err != nil {
			t.Errorf("the week's rest for an older key: got error %v, want none", err)
		}
		_, account := w.subjectKey()
		own, _ := issued(w.CreateMyKey(t.Context(), w.owner, "-", iam.NewKey{Name: "default"}))(t)
		if key, err := w.Service.Key(t.Context(), w.owner, "-", account); err != nil || !key.ExpiresAt.Equal(began.Add(4*day)) || !own.ExpiresAt.Equal(began.Add(3*day)) {
			t.Errorf("default: got ends %s and %s and error %v, want %s and %s", key.ExpiresAt, own.ExpiresAt, err, began.Add(4*day), began.Add(3*day))
		}
	})
}

// personal gives an input to a new key of the calling member.
func personal(k keyInput) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, _, err := w.CreateMyKey(ctx, c, "-", iam.NewKey{Name: w.name("key"), Expiry: k.expiry})
		return err
	}
}

func TestPolicyThatMakesNoSenseIsRefused(t *testing.T) {
	zero, minus, week, much := int64(0), int64(-1), int64(7), int64(1<<40)
	refuses(t, func(*world) (list []bad) {
		for _, b := range []struct {
			setting string
			change  func(*iam.Policy)
		}{
			{"account_key_default_days", func(p *iam.Policy) { p.AccountKeyDefaultDays = 0 }},
			{"account_key_default_days", func(p *iam.Policy) { p.AccountKeyDefaultDays = 36_501 }},
			{"account_key_default_days", func(p *iam.Policy) { p.AccountKeyMaxDays = &week }},
			{"account_key_max_days", func(p *iam.Policy) { p.AccountKeyMaxDays = &zero }},
			{"account_key_max_days", func(p *iam.Policy) { p.AccountKeyMaxDays = &much }},
			{"member_key_default_days", func(p *iam.Policy) { p.MemberKeyDefaultDays = -1 }},
			{"member_key_default_days", func(p *iam.Policy) { p.MemberKeyMaxDays = &week }},
			{"member_key_max_days", func(p *iam.Policy) { p.MemberKeyMaxDays = &minus }},
			{"seat_limit", func(p *iam.Policy) { p.SeatLimit = &zero }},
			{"seat_limit", func(p *iam.Policy) { p.SeatLimit = &much }},
			{"invitation_days", func(p *iam.Policy) { p.InvitationDays = 0 }},
			{"invitation_days", func(p *iam.Policy) { p.InvitationDays = 91 }},
			{"usage_days", func(p *iam.Policy) { p.UsageDays = 0 }},
			{"usage_days", func(p *iam.Policy) { p.UsageDays = 3_651 }},
			{"quiet_for", func(p *iam.Policy) { p.QuietFor = "" }},
			{"quiet_for", func(p *iam.Policy) { p.QuietFor = "10" }},
			{"quiet_for", func(p *iam.Policy) { p.QuietFor = "31d" }},
		} {
			code := "out_of_range"
			if b.setting == "quiet_for" {
				code = "not_a_duration"
			}
			give := func(ctx context.Context, w *world, c iam.Caller) error {
				change := func(p iam.Policy) iam.Policy { b.change(&p); return p }
				_, err := w.UpdateWorkspace(ctx, c, "-", iam.WorkspacePatch{Policy: change})
				return err
			}
			list = append(list, bad{fmt.Sprint(b.setting, " ", len(list)), "/policy/" + b.setting, code, give})
		}
		return list
	})
}

func TestRolesAreOfPermissionsThatExist(t *testing.T) {
	refuses(t, func(w *world) (list []bad) {
		w.subject()
		for _, k := range badKeyInputs() {
			if k.limit == nil || k.code == "wider_than_role" {
				continue
			}
			pointer := strings.Replace(k.pointer, "/limit", "/permissions", 1)
			list = append(list, bad{"new, " + k.input, pointer, k.code, newRole(k.limit...)})
			list = append(list, bad{"changed, " + k.input, pointer, k.code, func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.UpdateRole(ctx, c, "-", "subject", iam.RolePatch{Permissions: &k.limit})
				return err
			}})
		}
		return list
	})
}

func TestBuiltInRolesCannotBeChanged(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, role := range iam.BuiltInRoles() {
			changes := w.changed(func() {
				_, err := w.UpdateRole(t.Context(), w.owner, "-", role.Name, iam.RolePatch{Permissions: &[]string{"*:read"}})
				wantKind(t, err, iam.ValidationFailed)
				_, err = w.DeleteRole(t.Context(), w.owner, "-", role.Name)
				wantKind(t, err, iam.ValidationFailed)
			})
			wantNothing(t, changes)
		}
	})
}

func TestCatalogueIsOfTypesAndActions(t *testing.T) {
	typ := func(name, title string, actions ...string) iam.PermissionType {
		return iam.PermissionType{Type: name, Title: title, Actions: actions}
	}
	refuses(t, func(*world) (list []bad) {
		for input, b := range map[string]struct {
			pointer, code string
			types         []iam.PermissionType
		}{
			"iam":             {"/0/type", "bad_type", []iam.PermissionType{typ("iam", "")}},
			"a type of iam":   {"/0/type", "bad_type", []iam.PermissionType{typ("iam.keys", "")}},
			"upper case":      {"/1/type", "bad_type", []iam.PermissionType{typ("agents", ""), typ("Tools", "")}},
			"every type":      {"/0/type", "bad_type", []iam.PermissionType{typ("*", "")}},
			"no name":         {"/0/type", "bad_type", []iam.PermissionType{typ("", "")}},
			"twice":           {"/1/type", "duplicate", []iam.PermissionType{typ("agents", ""), typ("agents", "")}},
			"long title":      {"/0/title", "too_long", []iam.PermissionType{typ("agents", strings.Repeat("x", 129))}},
			"tricky title":    {"/0/title", "control_character", []iam.PermissionType{typ("agents", "a\u202eb")}},
			"bad action":      {"/0/actions/1", "bad_action", []iam.PermissionType{typ("agents", "", "train", "Train")}},
			"every action":    {"/0/actions/0", "bad_action", []iam.PermissionType{typ("agents", "", "*")}},
			"long action":     {"/0/actions/0", "bad_action", []iam.PermissionType{typ("agents", "", strings.Repeat("x", 65))}},
			"an action twice": {"/0/actions/1", "duplicate", []iam.PermissionType{typ("agents", "", "train", "train")}},
			"many actions":    {"/0/actions", "too_many", []iam.PermissionType{typ("agents", "", make([]string, 65)...)}},
			"many types":      {"", "too_many", make([]iam.PermissionType, 501)},
		} {
			list = append(list, bad{input, b.pointer, b.code, func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.ReplaceCatalogue(ctx, c, "-", b.types)
				return err
			}})
		}
		return list
	})
}

// An action beyond the four that every type has must be registered, for its type.
func TestRegisteredActionsMayBeGiven(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		made(w.ReplaceCatalogue(t.Context(), w.owner, "-", []iam.PermissionType{{Type: "agents", Actions: []string{"train"}}}))(t)
		w.role("agents:train", "agents/a*:train", "*:train")
		wantField(t, newRole("tools:train")(t.Context(), w, w.owner), "/permissions/0", "unknown_action")
		wantField(t, newRole("agents:fly")(t.Context(), w, w.owner), "/permissions/0", "unknown_action")
	})
}

func TestDurationsAreWholeNumbersAndAUnit(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1s": time.Second, "90d": 90 * 24 * time.Hour, "10m": 10 * time.Minute, "2h": 2 * time.Hour, "36500d": 36_500 * 24 * time.Hour,
		"3153600000s": 36_500 * 24 * time.Hour,
	} {
		if got, err := iam.ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: got %s and error %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "1", "s", "0s", "00s", "01s", "-1s", "+1s", "1.5h", "1e3s", "1 s", " 1s", "1s ", "1S", "1w", "1ms", "1h30m", "１s",
		"36501d", "3153600001s", "9223372036854775807s", "99999999999999999999s", leakedKey,
	} {
		got, err := iam.ParseDuration(text)
		if err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		} else if text != "" && len(text) > 3 && strings.Contains(err.Error(), text) {
			t.Errorf("%q: the error repeats it: %v", text, err)
		}
	}
}
