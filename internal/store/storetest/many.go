package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// Many says how much [Many.Fill] makes.
type Many struct {
	Accounts int
	Keys     int // at least as many as accounts
	Events   int
}

// Shipped is what lists, searches and filters are measured with.
var Shipped = Many{Accounts: 10_000, Keys: 100_000, Events: 1_000_000}

const manyAtOnce = 1000 // of one transaction

// filling is a store that is being filled. What it is filled with follows from a
// seed, but for ids.
type filling struct {
	Many
	s        iam.Store
	random   *rand.Rand
	now      time.Time
	ws       iam.Workspace
	owner    iam.Member
	roles    map[string]iam.Role
	accounts []iam.ServiceAccount
	keys     []iam.Key
}

// Fill puts into the system workspace of an initialised store, by the store's own
// means: accounts of sixty owners in all states, each with keys, of which most are
// used; and events of the year before, most of them changes of keys.
func (m Many) Fill(ctx context.Context, s iam.Store) error {
	f := &filling{Many: m, s: s, random: rand.New(rand.NewPCG(1, 2)), now: time.Now(), roles: map[string]iam.Role{}}
	var err error
	if f.ws, err = s.SystemWorkspace(ctx); err != nil {
		return err
	}
	roles, err := s.Roles(ctx, f.ws.ID, iam.RoleFilter{}, iam.Page{Limit: 200})
	if err != nil {
		return err
	}
	for _, r := range roles.Items {
		f.roles[r.Name] = r
	}
	members, err := s.Members(ctx, f.ws.ID, iam.MemberFilter{}, iam.Page{Limit: 1})
	if err != nil {
		return err
	}
	f.owner = members.Items[0]
	return errors.Join(f.fillAccounts(ctx), f.fillKeys(ctx), f.use(ctx), f.fillEvents(ctx))
}

func (f *filling) person() audit.Actor {
	return audit.Actor{Type: audit.Member, ID: string(f.owner.ID), Name: f.owner.Name}
}

var (
	manyPurposes = []string{"support", "billing", "deploy", "import", "export", "relay", "report", "search", "mail", "sync"}
	manyTeams    = []string{"Support Platform", "Developer Experience", "Finance Systems", "Data", "Growth", "Security"}
	manyRoles    = []string{iam.Operator, iam.Operator, iam.Operator, iam.Operator, iam.Operator, iam.Operator, iam.Viewer, iam.Viewer, iam.Editor, iam.Admin}
)

func one[T any](f *filling, of []T) T { return of[f.random.IntN(len(of))] }

// ended is the end of what has one: of every tenth.
func (f *filling) end(n int, made time.Time) *iam.Revocation {
	if n%10 != 9 {
		return nil
	}
	return &iam.Revocation{At: made.Add(time.Hour), By: iam.Actor{Actor: f.person()}, Reason: "replaced"}
}

func (f *filling) fillAccounts(ctx context.Context) error {
	for n := range f.Accounts {
		made := f.now.AddDate(-1, 0, 0).Add(time.Duration(n) * time.Minute)
		owner := fmt.Sprintf("%s %d", one(f, manyTeams), f.random.IntN(10))
		if n%20 == 7 {
			owner = ""
		}
		role := f.roles[one(f, manyRoles)]
		a := iam.ServiceAccount{
			ID: iam.PrincipalID(iam.NewID(iam.ServiceAccountPrefix, made)), Workspace: f.ws.ID,
			Name:        fmt.Sprintf("%s-bot-%05d", one(f, manyPurposes), n),
			Description: fmt.Sprintf("Job %d of the nightly %s run.", n, one(f, manyPurposes)), Owner: owner,
			Role: iam.Ref[iam.RoleID]{ID: role.ID, Name: role.Name}, CreatedAt: made, CreatedBy: iam.Actor{Actor: f.person()},
			Revoked: f.end(n, made),
		}
		f.accounts = append(f.accounts, a)
	}
	return inChunks(f.accounts, func(some []iam.ServiceAccount) error {
		return f.change(ctx, func(tx iam.Tx) (err error) {
			for _, a := range some {
				err = errors.Join(err, tx.InsertServiceAccount(ctx, a))
			}
			return err
		})
	})
}

// fillKeys gives each account as many keys, and the owner those that are left and
// a hundred.
func (f *filling) fillKeys(ctx context.Context) error {
	each := f.Keys / f.Accounts
	for n := range f.Keys {
		made := f.now.AddDate(-1, 0, 0).Add(time.Duration(n) * time.Minute / 2)
		id := iam.NewID(iam.KeyPrefix, made)
		k := iam.Key{
			ID: iam.KeyID(id), Workspace: f.ws.ID, Name: fmt.Sprintf("prod-%05d", n),
			Hash: token.NewSecret(id).Hash(), Hint: "pst_sa_7Qm2…x9Kd", CreatedAt: made, CreatedBy: iam.Actor{Actor: f.person()},
			Revoked: f.end(n, made),
		}
		if n%3 > 0 {
			k.ExpiresAt = f.now.Add(time.Duration(f.random.IntN(400*24)-20*24) * time.Hour)
		}
		if account := n / each; account < len(f.accounts) && n >= 100 {
			k.Principal = iam.Principal{ID: f.accounts[account].ID}
		} else {
			k.Principal, k.Hint = iam.Principal{ID: f.owner.ID}, "pst_usr_7Qm2…x9Kd"
		}
		f.keys = append(f.keys, k)
	}
	return inChunks(f.keys, func(some []iam.Key) error {
		return f.change(ctx, func(tx iam.Tx) (err error) {
			for _, k := range some {
				err = errors.Join(err, tx.InsertKey(ctx, k))
			}
			return err
		})
	})
}

// use reports that nine of ten keys were used, each on some days of the last week.
func (f *filling) use(ctx context.Context) error {
	now, err := f.s.Register(ctx, iam.Reporter{ID: "many", Name: "many", Kind: iam.ServerNode})
	if err != nil {
		return err
	}
	number := int64(0)
	for day := 6; day >= 0; day -= 3 {
		at := now.AddDate(0, 0, -day)
		var uses []iam.KeyUse
		for n, k := range f.keys {
			if n%10 == 3 {
				continue
			}
			uses = append(uses, iam.KeyUse{
				Key: k.ID, Principal: k.Principal.ID, Workspace: f.ws.ID, LastOK: at,
				Minutes: []iam.UsePoint{{At: at.Truncate(time.Minute), OK: 3}},
				Sources: []iam.SourceUse{{IP: "10.2.0.7", UserAgent: "curl/8.5.0", First: at, Last: at, LastOK: at, OK: 3}},
				Asks:    []iam.AskUse{{Ask: "agents:execute", Last: at, OK: 3}},
			})
		}
		err := inChunks(uses, func(some []iam.KeyUse) error {
			number++
			r := iam.UsageReport{Reporter: "many", Number: number, Covers: at, Keys: some}
			_, err := f.s.Report(ctx, r, func(iam.NoteTx, []iam.Key) error { return nil })
			return err
		})
		if err != nil {
			return err
		}
	}
	return f.s.TendUsage(ctx)
}

func (f *filling) fillEvents(ctx context.Context) error {
	span := f.now.Sub(f.now.AddDate(-1, 0, 0)) / time.Duration(f.Events)
	for n := 0; n < f.Events; n += manyAtOnce {
		err := f.s.Note(ctx, func(tx iam.NoteTx) (err error) {
			for i := n; i < min(n+manyAtOnce, f.Events); i++ {
				err = errors.Join(err, tx.AppendEvent(ctx, f.event(i, f.now.AddDate(-1, 0, 0).Add(time.Duration(i)*span))))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// event is the one with a number: most are of keys; every hundredth was refused,
// every ten thousandth is of a role.
func (f *filling) event(n int, at time.Time) audit.Event {
	k := one(f, f.keys)
	e := audit.Event{
		ID: iam.NewID(iam.EventPrefix, at), Workspace: string(f.ws.ID), At: at, Actor: f.person(),
		Target: audit.Target{Type: "key", ID: string(k.ID), Name: k.Name}, Outcome: audit.Done,
		Source:    audit.Source{IP: fmt.Sprintf("10.%d.%d.%d", f.random.IntN(4), f.random.IntN(256), f.random.IntN(256)), UserAgent: "postern-cli/0.4", Node: "n1"},
		RequestID: iam.NewID(iam.RequestPrefix, at), After: audit.Fields{"name": k.Name, "expires_at": "2027-01-01T00:00:00Z"},
	}
	switch a := one(f, f.accounts); {
	case n%10_000 == 77:
		e.Action, e.Target, e.After = "role.updated", audit.Target{Type: "role", ID: string(a.Role.ID), Name: a.Role.Name}, nil
	case n%100 == 33:
		e.Action, e.Outcome, e.Reason = "key.created", audit.Refused, "the role of support-bot does not allow it"
	case n%5 == 1:
		e.Action = "key.expiring"
		e.Actor = audit.Actor{Type: audit.System, ID: "system", Name: "Postern"}
	case n%5 == 2:
		e.Action = "service_account.updated"
		e.Target = audit.Target{Type: "service_account", ID: string(a.ID), Name: a.Name}
	case n%5 == 3:
		e.Action = "key.created"
		e.Actor = audit.Actor{Type: audit.ServiceAccount, ID: string(a.ID), Name: a.Name}
		e.Key = &audit.Ref{ID: string(k.ID), Name: k.Name}
	default:
		e.Action, e.Reason = "key.revoked", "replaced after the nightly run"
	}
	return e
}

func (f *filling) change(ctx context.Context, fn func(iam.Tx) error) error {
	_, err := f.s.Change(ctx, iam.First{}, func(tx iam.Tx) (iam.Change, error) { return iam.Change{}, fn(tx) })
	return err
}

func inChunks[T any](all []T, do func([]T) error) error {
	for len(all) > 0 {
		n := min(len(all), manyAtOnce)
		if err := do(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}
