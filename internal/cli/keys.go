package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// The words that stand for the caller's own, and that nothing is named.
const (
	refMe   = "me"   // the calling member
	refSelf = "self" // the calling key
)

func keyColumns() []column[api.Key] {
	return []column[api.Key]{
		{name: "name", text: func(x api.Key) string { return x.Name }},
		{name: "id", text: func(x api.Key) string { return x.ID }},
		{name: "principal", text: func(x api.Key) string { return x.Principal.Name }},
		{name: "state", text: func(x api.Key) string { return x.State }},
		{name: "hint", text: func(x api.Key) string { return x.Hint }},
		{name: "expires_at", text: func(x api.Key) string { return whenOr(x.ExpiresAt, "never") }},
		{name: "last_used", text: func(x api.Key) string { return lastUse(x.LastUsed) }},
		{name: "limit", text: func(x api.Key) string { return texts(x.Limit) }, detail: true},
		{name: "effective", text: func(x api.Key) string { return texts(x.Effective) }, detail: true},
		{name: "allowed_networks", text: func(x api.Key) string { return texts(x.AllowedNetworks) }, detail: true},
		{name: "metadata", text: func(x api.Key) string { return pairs(x.Metadata) }, detail: true},
		{name: "created_at", text: func(x api.Key) string { return when(x.CreatedAt) }, detail: true},
		{name: "created_by", text: func(x api.Key) string { return actorName(x.CreatedBy) }, detail: true},
		{name: "rotation", text: func(x api.Key) string { return textOr(x.Rotation, "") }, detail: true},
		{name: "replaces", text: func(x api.Key) string { return textOr(x.Replaces, "") }, detail: true},
		{name: "revoked", text: func(x api.Key) string { return revocation(x.Revoked) }, detail: true},
	}
}

func (a *app) keyCommand() *cobra.Command {
	return a.group("key", "API keys: made, shown once, limited, ended and verified",
		a.keyCreate(), a.keyList(), a.keyGet(), a.keyRotate(), a.keyExtend(),
		a.keyPause(), a.keyResume(), a.keyRevoke(), a.keyVerify(), a.keyUsage(), a.keyWatch())
}

func (a *app) keyList() *cobra.Command {
	var principal, principalType, state, before, unused, sort, search string
	var neverUsed, neverExpires, machineLike bool
	cmd := a.leaf(command{
		use: "list [ACCOUNT]", short: "List keys", complete: a.accountNames,
		long: "Without an account: every key of the workspace that you may see. me stands for your own.",
		examples: [2]string{
			"postern key list support-bot-prod",
			"postern key list --state active --unused-for 90d -o csv",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			until, err := a.moment("expires-before", before)
			if err != nil {
				return err
			}
			query := filters("state", state, "principal_type", principalType, "expires_before", until, "unused_for", unused,
				"never_used", yes(neverUsed), "never_expires", yes(neverExpires), "machine_like", yes(machineLike), "sort", sort, "q", search)
			path, err := s.keysOf(ctx, append(args, principal)[0], query)
			if err != nil {
				return err
			}
			return list(ctx, a, s, path, query, keyColumns())
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&principal, "principal", "", "only those of this account or member")
	fs.StringVar(&principalType, "principal-type", "", "only those of a service_account or a member")
	fs.StringVar(&state, "state", "", "only those that are active, paused, expired or revoked")
	fs.StringVar(&before, "expires-before", "", "only those that end before a time, or within a while such as 30d")
	fs.StringVar(&unused, "unused-for", "", "only those made so long ago or longer, and not accepted since, such as 90d")
	fs.BoolVar(&neverUsed, "never-used", false, "only those that were never accepted")
	fs.BoolVar(&neverExpires, "never-expires", false, "only those without an end")
	fs.BoolVar(&machineLike, "machine-like", false, "only those of members that are used as people do not use one")
	fs.StringVar(&sort, "sort", "", "by created_at, name, expires_at or last_used_at; with - before it descending")
	fs.StringVar(&search, "q", "", "only those with this in their or their owner's name")
	a.completeFlag(cmd, "principal", a.accountNames)
	return cmd
}

// keysOf returns the path of a list of keys: of a principal, of the caller or of
// all, and adds to the query what that takes.
func (s session) keysOf(ctx context.Context, ref string, query url.Values) (string, error) {
	switch ref {
	case "":
		return s.path("keys"), nil
	case refMe:
		return s.path(refMe, "keys"), nil
	}
	id, err := s.principalID(ctx, ref)
	query.Set("principal", id)
	return s.path("keys"), err
}

// newKey is what the flags of key create say.
type newKey struct {
	in       api.CreateKey
	expires  string
	limit    []string
	networks []string
	out      secretOut
}

func (a *app) keyCreate() *cobra.Command {
	var k newKey
	cmd := a.leaf(command{
		use: "create ACCOUNT", short: "Create a key, and show its value once", complete: a.accountNames,
		long: "Without --name it is called prod-YYYY-MM, made unique. A limit makes a key that can do less than its\n" +
			"account, never more. me in the place of the account makes a key of your own.",
		examples: [2]string{
			"postern key create support-bot-prod --out-header bot.h",
			"postern key create support-bot-prod --name nightly --expires 90d --limit tickets:read --allow-network 192.0.2.0/24 --field value",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if err := k.settle(); err != nil {
				return err
			}
			if err := k.out.prepare(a, "value"); err != nil {
				return err
			}
			defer k.out.close()
			path := s.path(accountsPart, args[0], "keys")
			if args[0] == refMe {
				path = s.path(refMe, "keys")
			}
			return a.createKey(ctx, s, path, k)
		},
	})
	fs := cmd.Flags()
	fs.StringVar(&k.in.Name, "name", "", "its name, unique among the keys of the account")
	fs.StringVar(&k.expires, "expires", "", "when it ends: 90d, 2027-01-31T00:00:00Z or never; when not given, what the workspace's policy says")
	fs.StringArrayVar(&k.limit, "limit", nil, "a permission that it is limited to; may be repeated")
	fs.StringArrayVar(&k.networks, "allow-network", nil, "a network it may be used from, such as 192.0.2.0/24; may be repeated")
	metadataFlag(fs, &k.in.Metadata, "NAME=VALUE to keep with it; may be repeated")
	k.out.register(fs)
	return cmd
}

// settle turns the flags into the body of the call.
func (k *newKey) settle() error {
	switch _, err := iam.ParseDuration(k.expires); {
	case k.expires == "":
	case k.expires == "never":
		k.in.ExpiresAt = api.Null[api.Time]()
	case err == nil:
		k.in.ExpiresIn = &k.expires
	default:
		at, err := time.Parse(time.RFC3339, k.expires)
		if err != nil {
			return badTime("expires", "never, ")
		}
		k.in.ExpiresAt = api.Value(api.NewTime(at))
	}
	if k.limit != nil {
		k.in.Limit = &k.limit
	}
	if k.networks != nil {
		k.in.AllowedNetworks = &k.networks
	}
	return nil
}

// createKey makes a key and shows its value once.
func (a *app) createKey(ctx context.Context, s session, path string, k newKey) error {
	made, raw, err := a.createNamedKey(ctx, s, path, k.in)
	if err != nil {
		return err
	}
	if err := k.out.deliver(a, token.NewSecret(made.Value), made.ID); err != nil {
		return err
	}
	return a.showCreatedKey(made, raw, k.out.toFiles())
}

func (a *app) showCreatedKey(made api.CreatedKey, raw json.RawMessage, hide bool) (err error) {
	columns := keyColumns()
	if hide {
		if raw, err = withoutValue(made); err != nil {
			return err
		}
	} else if a.global.output == formatTable && a.global.field == "" {
		columns = append(columns, column[api.Key]{name: "value", text: func(api.Key) string { return made.Value }})
	}
	if err := show(a, raw, columns); err != nil {
		return err
	}
	if !hide && a.global.field == "" && a.global.output == formatTable {
		a.note("The value is shown this once. Keep it now.")
	}
	a.next("postern key list %s", quote(made.Principal.Name))
	return nil
}

// withoutValue is the answer for where the value has gone to a file.
func withoutValue(made api.CreatedKey) (json.RawMessage, error) {
	return json.Marshal(struct {
		api.Key
		Revision int64 `json:"revision"`
	}{made.Key, made.Revision})
}

// namesTried is how many names are tried for a key that is given none.
const namesTried = 100

// createNamedKey makes a key, and finds a free name for it when it has none.
func (a *app) createNamedKey(ctx context.Context, s session, path string, in api.CreateKey) (api.CreatedKey, json.RawMessage, error) {
	if in.Name != "" {
		return call[api.CreatedKey](ctx, s, http.MethodPost, path, in)
	}
	base := "prod-" + a.Now().UTC().Format("2006-01")
	in.Name = base
	var taken []string
	for n := 1; ; {
		made, raw, err := call[api.CreatedKey](ctx, s, http.MethodPost, path, in)
		if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != api.CodeNameTaken || n >= namesTried {
			return made, raw, err
		}
		if n == 1 {
			taken = keyNames(ctx, s, path, base)
		}
		for n++; slices.Contains(taken, fmt.Sprintf("%s-%d", base, n)); n++ {
		}
		in.Name = fmt.Sprintf("%s-%d", base, n)
	}
}

// keyNames returns the names of a principal's keys that begin like one. They only
// spare tries: where they may not be read, each name is tried.
func keyNames(ctx context.Context, s session, path, base string) (names []string) {
	keys, err := find(ctx, s, path, url.Values{"q": {base}}, func(api.Key) bool { return true })
	if err != nil {
		return nil
	}
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return names
}

func (a *app) keyGet() *cobra.Command {
	return a.leaf(command{
		use: "get KEY", short: "Show a key; self is the one that asks",
		examples: [2]string{"postern key get support-bot-prod/nightly", "postern key get self --field expires_at"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			path, err := a.keyPath(ctx, s, args[0])
			if err != nil {
				return err
			}
			_, raw, err := call[api.Key](ctx, s, http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			return show(a, raw, keyColumns())
		},
	})
}
