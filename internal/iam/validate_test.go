package iam_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// bad is an input that is refused, and how: with a pointer to the field and a
// code.
type bad struct {
	input         string
	pointer, code string
	give          ask
}

// refuses gives every bad input in each world and fails the test unless it is
// refused as said, and nothing at all has changed.
func refuses(t *testing.T, inputs func(w *world) []bad) {
	eachWorld(t, func(t *testing.T, w *world) {
		list := inputs(w)
		rows, events := w.rows(), len(w.allEvents())
		for _, b := range list {
			t.Run(b.input, func(t *testing.T) {
				w := w.in(t)
				err := b.give(t.Context(), w, w.owner)
				wantField(t, err, b.pointer, b.code)
			})
		}
		wantNothing(t, diff(rows, w.rows()))
		if got := len(w.allEvents()) - events; kindsOf(list) == 0 && got != 0 {
			t.Errorf("got %d events, want none", got)
		}
	})
}

// kindsOf counts the inputs that a policy refuses, which leaves an event each.
func kindsOf(list []bad) (n int) {
	for _, b := range list {
		if b.code == string(iam.PolicyViolation) {
			n++
		}
	}
	return n
}

const leakedKey = "pst_sa_0123456789abcdefghijklmnopqrstuvw012345"

// badNames are what no name may be, with their codes.
func badNames() map[string]string {
	return map[string]string{
		"":                      "required",
		"  ":                    "required",
		strings.Repeat("a", 65): "too_long",
		strings.Repeat("ä", 65): "too_long",
		"a/b":                   "slash",
		"-":                     "reserved",
		".":                     "reserved",
		"..":                    "reserved",
		"self":                  "reserved",
		"me":                    "reserved",
		"sa_bot":                "looks_like_id",
		"role_x":                "looks_like_id",
		" bot":                  "surrounding_space",
		"bot\n":                 "control_character",
		"bo\x00t":               "control_character",
		"bo\u202et":             "control_character", // turns the direction of writing around
		"bo\u200bt":             "control_character", // is not seen
		"bo\u2028t":             "control_character",
		"bo\xfft":               "not_utf8",
		"bo\u034ft":             "invisible_character",
		"\u3164":                "invisible_character",
		"bo\u2800t":             "invisible_character",
		"bot\ufe0f":             "invisible_character",
		"\ufe0fbot":             "invisible_character",
		leakedKey:               "looks_like_key",
	}
}

// named returns everything that gives a name to something.
func named() map[string]func(name string) ask {
	return map[string]func(name string) ask{
		"service account": newAccountNamed,
		"service account, renamed": func(name string) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.UpdateServiceAccount(ctx, c, "-", "subject", iam.AccountPatch{Name: &name})
				return err
			}
		},
		"role": func(name string) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.CreateRole(ctx, c, "-", iam.NewRole{Name: name, Permissions: []string{"*:read"}})
				return err
			}
		},
		"role, renamed": func(name string) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.UpdateRole(ctx, c, "-", "subject", iam.RolePatch{Name: &name})
				return err
			}
		},
		"key": func(name string) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, _, err := w.CreateKey(ctx, c, "-", "subject", iam.NewKey{Name: name})
				return err
			}
		},
		"key, renamed": func(name string) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.UpdateKey(ctx, c, "-", c.Key.ID, iam.KeyPatch{Name: &name})
				return err
			}
		},
		"personal key": func(name string) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, _, err := w.CreateMyKey(ctx, c, "-", iam.NewKey{Name: name})
				return err
			}
		},
		"workspace": func(name string) ask {
			return func(ctx context.Context, w *world, _ iam.Caller) error {
				_, _, err := w.CreateWorkspace(ctx, w.system, iam.NewWorkspace{Name: name, Slug: "other"})
				return err
			}
		},
		"workspace, renamed": func(name string) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.UpdateWorkspace(ctx, c, "-", iam.WorkspacePatch{Name: &name})
				return err
			}
		},
	}
}

func TestNamesAreOfTheFormThatTheAPISays(t *testing.T) {
	nouns := named()
	refuses(t, func(w *world) (list []bad) {
		w.subject()
		for noun, give := range nouns {
			for name, code := range badNames() {
				list = append(list, bad{fmt.Sprintf("%s %q", noun, name), "/name", code, give(name)})
			}
		}
		for name, code := range badNames() {
			list = append(list, bad{fmt.Sprintf("slug %q", name), "/slug", code, newSlug(name)})
		}
		list = append(list, bad{"slug any", "/slug", "reserved", newSlug("any")}) // every workspace, to a verifier
		for _, form := range []string{"Bot", "bot prod", "support_bot", "-bot", "bötchen", "b.t"} {
			list = append(list, bad{"account " + form, "/name", "bad_name", newAccountNamed(form)})
			list = append(list, bad{"slug " + form, "/slug", "bad_name", newSlug(form)})
		}
		for _, name := range []string{"admin", "ADMIN", "Owner", "vIEWER"} {
			list = append(list, bad{"role " + name, "/name", "built_in", nouns["role"](name)})
			list = append(list, bad{"role renamed " + name, "/name", "built_in", nouns["role, renamed"](name)})
		}
		return list
	})
}

func newAccountNamed(name string) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, err := w.CreateServiceAccount(ctx, c, "-", iam.NewServiceAccount{Name: name, Role: iam.Viewer})
		return err
	}
}

func newSlug(slug string) ask {
	return func(ctx context.Context, w *world, _ iam.Caller) error {
		_, _, err := w.CreateWorkspace(ctx, w.system, iam.NewWorkspace{Name: "Other", Slug: slug})
		return err
	}
}

// subject makes an account and a role with that name.
func (w *world) subject() {
	w.t.Helper()
	made(w.CreateRole(w.t.Context(), w.owner, "-", iam.NewRole{Name: "subject", Permissions: []string{"agents:read", "agents:write"}}))(w.t)
	made(w.CreateServiceAccount(w.t.Context(), w.owner, "-", iam.NewServiceAccount{Name: "subject", Role: "subject"}))(w.t)
}

func account(in iam.NewServiceAccount) ask {
	return func(ctx context.Context, w *world, c iam.Caller) error {
		_, err := w.CreateServiceAccount(ctx, c, "-", in)
		return err
	}
}

// entries returns metadata with a number of entries.
func entries(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint("entry ", i)] = "x"
	}
	return m
}

func TestDetailsOfAccountsAreBounded(t *testing.T) {
	long := strings.Repeat("ä", 501)
	refuses(t, func(w *world) (list []bad) {
		for input, b := range map[string]struct {
			pointer, code string
			in            iam.NewServiceAccount
		}{
			"long description":      {"/description", "too_long", iam.NewServiceAccount{Description: long}},
			"tricky description":    {"/description", "control_character", iam.NewServiceAccount{Description: "a\x1b[2Jb"}},
			"key in description":    {"/description", "looks_like_key", iam.NewServiceAccount{Description: "it is " + leakedKey}},
			"long owner":            {"/owner", "too_long", iam.NewServiceAccount{Owner: long[:2*129]}},
			"much metadata":         {"/metadata", "too_many", iam.NewServiceAccount{Metadata: entries(51)}},
			"metadata without name": {"/metadata/", "required", iam.NewServiceAccount{Metadata: map[string]string{"": "x"}}},
			"long metadata name":    {"/metadata/" + long[:2*65], "too_long", iam.NewServiceAccount{Metadata: map[string]string{long[:2*65]: "x"}}},
			"long metadata value":   {"/metadata/a~1b~0c", "too_long", iam.NewServiceAccount{Metadata: map[string]string{"a/b~c": long}}},
			"key in metadata":       {"/metadata/a", "looks_like_key", iam.NewServiceAccount{Metadata: map[string]string{"a": leakedKey}}},
			"key as metadata name":  {"/metadata", "looks_like_key", iam.NewServiceAccount{Metadata: map[string]string{leakedKey: "a"}}},
			"unknown role":          {"/role", "unknown_role", iam.NewServiceAccount{Role: "nobody"}},
			"role of people":        {"/role", "people_only", iam.NewServiceAccount{Role: iam.Owner}},
		} {
			b.in.Name = w.name("bot")
			if b.in.Role == "" {
				b.in.Role = iam.Viewer
			}
			list = append(list, bad{input, b.pointer, b.code, account(b.in)})
		}
		return list
	})
}

func TestReasonsAndRolesTextsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 501)
	refuses(t, func(w *world) []bad {
		w.subject()
		key, _ := w.key(w.account(iam.Viewer), iam.NewKey{})
		ending := func(turn func(*world) keyTurn, e iam.Why) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := turn(w)(ctx, c, "-", key.ID, e)
				return err
			}
		}
		pause := func(w *world) keyTurn { return w.PauseKey }
		resume := func(w *world) keyTurn { return w.ResumeKey }
		account := func(turn func(*world) accountTurn) ask {
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := turn(w)(ctx, c, "-", "subject", long)
				return err
			}
		}
		role := func(in iam.NewRole) ask {
			in.Name, in.Permissions = "other", []string{"*:read"}
			return func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.CreateRole(ctx, c, "-", in)
				return err
			}
		}
		return []bad{
			{"pause a key, reason", "/reason", "unknown_reason", ending(pause, iam.Why{Reason: "boredom"})},
			{"resume a key, reason", "/reason", "unknown_reason", ending(resume, iam.Why{Reason: "boredom"})},
			{"pause a key, note", "/note", "too_long", ending(pause, iam.Why{Note: long})},
			{"revoke a key, note", "/note", "control_character", func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.RevokeKey(ctx, c, "-", key.ID, iam.Why{Note: "a\tb"})
				return err
			}},
			{"revoke self, reason", "/reason", "unknown_reason", func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.RevokeSelf(ctx, c, iam.Why{Reason: "boredom"})
				return err
			}},
			{"pause an account", "/reason", "too_long", account(func(w *world) accountTurn { return w.PauseServiceAccount })},
			{"resume an account", "/reason", "too_long", account(func(w *world) accountTurn { return w.ResumeServiceAccount })},
			{"revoke an account", "/reason", "too_long", account(func(w *world) accountTurn { return w.RevokeServiceAccount })},
			{"pause a workspace", "/reason", "too_long", func(ctx context.Context, w *world, c iam.Caller) error {
				_, err := w.PauseWorkspace(ctx, w.system, c.Workspace.Name, long)
				return err
			}},
			{"role's title", "/title", "too_long", role(iam.NewRole{Title: long[:129]})},
			{"role's description", "/description", "too_long", role(iam.NewRole{Description: long})},
		}
	})
}

type accountTurn = func(context.Context, iam.Caller, string, string, string) (iam.Done[iam.ServiceAccount], error)

func TestAddressesAreAddresses(t *testing.T) {
	refuses(t, func(*world) (list []bad) {
		for address, code := range map[string]string{
			"": "not_an_address", "jo": "not_an_address", "jo@": "not_an_address", "@example.com": "not_an_address",
			"jo park@example.com": "not_an_address", "jo@example@com": "not_an_address", "<jo@example.com>": "not_an_address",
			"jo\x00@example.com": "control_character", "jo@\u202eexample.com": "control_character", "jo@ex\xffample.com": "not_utf8",
			strings.Repeat("j", 243) + "@example.com": "too_long",
		} {
			list = append(list, bad{fmt.Sprintf("%.20q", address), "/email", code, func(ctx context.Context, w *world, c iam.Caller) error {
				_, _, err := w.Invite(ctx, c, "-", iam.NewInvitation{Email: address, Role: iam.Viewer})
				return err
			}})
		}
		return append(list, bad{"first owner", "/owner/email", "not_an_address", func(ctx context.Context, w *world, _ iam.Caller) error {
			_, _, err := w.CreateWorkspace(ctx, w.system, iam.NewWorkspace{Name: "Other", Slug: "other", OwnerEmail: "jo"})
			return err
		}})
	})
}

// All that is wrong is told at once.
func TestEverythingThatIsWrongIsTold(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		err := account(iam.NewServiceAccount{Name: "A/b", Description: "\x00", Owner: strings.Repeat("x", 129)})(t.Context(), w, w.owner)
		wantField(t, err, "/name", "slash")
		wantField(t, err, "/description", "control_character")
		wantField(t, err, "/owner", "too_long")
	})
}

// The limits themselves are within.
func TestInputAtItsLimitsIsTaken(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		networks := make([]string, 64)
		for i := range networks {
			networks[i] = fmt.Sprintf("10.%d.0.0/16", i)
		}
		permissions := make([]string, 256)
		for i := range permissions {
			permissions[i] = fmt.Sprintf("agents/a%d:read", i)
		}
		long := strings.Repeat("ä", 500)
		role := made(w.CreateRole(t.Context(), w.owner, "-", iam.NewRole{
			Name: strings.Repeat("ä", 64), Title: long[:2*128], Description: long, Permissions: permissions,
		}))(t)
		bot := made(w.CreateServiceAccount(t.Context(), w.owner, "-", iam.NewServiceAccount{
			Name: strings.Repeat("a", 64), Description: long, Owner: long[:2*128], Role: role.Name, Metadata: entries(50),
		}))(t)
		key, _ := w.key(bot, iam.NewKey{
			Name: strings.Repeat("ä", 64), Limit: &permissions, AllowedNetworks: &networks, Metadata: entries(50),
			Expiry: &iam.Expiry{In: 36_500 * 24 * time.Hour},
		})
		if key.Limit.Len() != 256 || len(key.AllowedNetworks) != 64 || len(bot.Metadata) != 50 {
			t.Errorf("got %s of %s, want all of it kept", text(key), text(bot))
		}
		made(w.PauseKey(t.Context(), w.owner, "-", key.ID, iam.Why{Reason: "other", Note: long}))(t)
	})
}
