package iam_test

import (
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// keysLike returns the names of the keys that a filter lets through.
func (w *world) keysLike(f iam.KeyFilter) (names []string) {
	w.t.Helper()
	f.Now = w.clock.now()
	list, err := w.Keys(w.t.Context(), w.owner, "-", f, iam.Page{Limit: 100, Sort: "name"})
	if err != nil {
		w.t.Fatalf("list keys: %v", err)
	}
	n, err := w.Store.CountKeys(w.t.Context(), w.owner.Workspace.ID, f)
	if err != nil || n != int64(len(list.Items)) {
		w.t.Errorf("counted %d and error %v, listed %d", n, err, len(list.Items))
	}
	for _, k := range list.Items {
		names = append(names, k.Name)
	}
	return names
}

// accountsIn returns the names of the accounts that need something.
func (w *world) accountsIn(need iam.Needed) (names []string) {
	w.t.Helper()
	list, err := w.ServiceAccounts(w.t.Context(), w.owner, "-", iam.AccountFilter{Need: iam.Need{What: need}}, iam.Page{Limit: 100})
	if err != nil {
		w.t.Fatalf("list accounts: %v", err)
	}
	for _, a := range list.Items {
		names = append(names, a.Name)
	}
	return names
}

// tend has what is long past of use summed.
func (w *world) tend() {
	w.t.Helper()
	for range 9 { // each goes through a bounded number of rows
		if err := w.db.TendUsage(w.t.Context()); err != nil {
			w.t.Fatalf("tend: %v", err)
		}
	}
}

// eachHour uses a key in the first hours of each of some days, from now on.
func (w *world) eachHour(k iam.KeyID, days, hours int, ok int64) (uses []use) {
	midnight := w.clock.now().Truncate(day)
	for d := range days {
		for h := range hours {
			at := midnight.Add(time.Duration(d)*day + time.Duration(h)*time.Hour)
			uses = append(uses, use{key: k, at: at, ok: ok})
		}
	}
	return uses
}

func TestKeysThatNobodyNeedsAreFound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account := w.account(iam.Viewer)
		keys := map[string]iam.KeyID{}
		for name, expires := range map[string]iam.Expiry{"busy": {}, "idle": {In: 200 * day}, "unused": {In: 200 * day}, "refused": {In: 20 * day}} {
			key, _ := w.key(account, iam.NewKey{Name: name, Expiry: &expires})
			keys[name] = key.ID
		}
		w.used(use{key: keys["busy"], ok: 1}, use{key: keys["idle"], ok: 1}, use{key: keys["refused"], refused: 1})
		w.clock.advance(10 * day)
		w.used(use{key: keys["busy"], ok: 1})
		w.key(account, iam.NewKey{Name: "young"})
		now := w.clock.now()
		for name, tt := range map[string]struct {
			filter iam.KeyFilter
			want   []string
		}{
			"all":              {iam.KeyFilter{}, []string{"busy", "first", "idle", "refused", "unused", "young"}},
			"unused":           {iam.KeyFilter{UnusedSince: now.Add(-9 * day)}, []string{"first", "idle", "refused", "unused"}},
			"since before all": {iam.KeyFilter{UnusedSince: now.Add(-10 * day)}, nil},
			"never used":       {iam.KeyFilter{NeverUsed: true}, []string{"first", "refused", "unused", "young"}},
			"without an end":   {iam.KeyFilter{NeverExpires: true}, []string{"busy"}},
			"used lately":      {iam.KeyFilter{UsedSince: now.Add(-day)}, []string{"busy"}},
			"expiring":         {iam.KeyFilter{ExpiresBefore: now.Add(14 * day)}, []string{"refused"}},
			"together":         {iam.KeyFilter{NeverUsed: true, UnusedSince: now.Add(-day), PrincipalType: iam.ServiceAccountType}, []string{"refused", "unused"}},
		} {
			if got := w.keysLike(tt.filter); !slices.Equal(got, tt.want) {
				t.Errorf("%s: got %v, want %v", name, got, tt.want)
			}
		}
		list, err := w.Keys(t.Context(), w.owner, "-", iam.KeyFilter{Now: now, Principal: account.ID, ExpiresBefore: now.AddDate(50, 0, 0)}, iam.Page{Limit: 1, Sort: "-last_used_at"})
		if err != nil || len(list.Items) != 1 || list.Items[0].Name != "idle" {
			t.Errorf("the last used of those with an end: got %s and error %v, want idle", text(list.Items), err)
		}
	})
}

func TestMachineLikeKeysOfMembersAreFound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.clock.advance(15 * time.Hour) // it is midnight
		mine := func(name string) iam.KeyID {
			key, _ := issued(w.CreateMyKey(t.Context(), w.owner, "-", iam.NewKey{Name: name}))(t)
			return key.ID
		}
		account, _ := w.key(w.account(iam.Viewer), iam.NewKey{Name: "account"})
		w.used(slices.Concat(
			w.eachHour(mine("round the clock"), 3, 18, 1),
			w.eachHour(mine("long days"), 3, 17, 1),
			w.eachHour(mine("two days"), 2, 24, 1),
			w.eachHour(mine("busy"), 3, 2, 2500),
			w.eachHour(mine("less busy"), 3, 2, 2499),
			w.eachHour(account.ID, 3, 24, 5000),
		)...)
		want := []string{"busy", "round the clock"}
		for _, days := range []time.Duration{3, 7} {
			w.clock.micros.Store(began.Add(15*time.Hour + days*day + 2*time.Hour).UnixMicro())
			w.tend()
			if got := w.keysLike(iam.KeyFilter{MachineLike: true}); !slices.Equal(got, want) {
				t.Errorf("after %d days: got %v, want %v", days, got, want)
			}
		}
		w.clock.advance(day)
		if got := w.keysLike(iam.KeyFilter{MachineLike: true}); got != nil {
			t.Errorf("when it is over: got %v, want none", got)
		}
	})
}

func TestAccountsThatNeedSomethingAreFound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		custom := w.role("iam.*:write")
		made := map[string]iam.ServiceAccount{}
		for name, role := range map[string]string{"admin": iam.Admin, "custom": custom.Name, "editor": iam.Editor, "ended": iam.Admin, "writer": iam.Admin} {
			made[name] = w.accountNamed(name, role)
		}
		writer, secret := w.key(made["writer"], iam.NewKey{Expiry: &iam.Expiry{}})
		w.key(made["admin"], iam.NewKey{Expiry: &iam.Expiry{In: 30 * day}})
		if _, err := w.RevokeServiceAccount(t.Context(), w.owner, "-", "ended", ""); err != nil {
			t.Fatal(err)
		}
		if got, want := w.accountsIn(iam.NeedsKeys), []string{"custom", "editor"}; !slices.Equal(got, want) {
			t.Errorf("without keys: got %v, want %v", got, want)
		}
		if got := w.accountsIn(iam.NeedsLessPower); got != nil {
			t.Errorf("too powerful on the first day: got %v, want none", got)
		}
		w.clock.advance(60 * day)
		by := w.caller(secret)
		if _, err := w.UpdateServiceAccount(t.Context(), by, "-", "editor", iam.AccountPatch{Owner: new("Platform")}); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(40 * day)
		for need, want := range map[iam.Needed][]string{
			iam.NeedsKeys: {"admin", "custom", "editor"}, iam.NeedsOwner: {"admin", "custom", "writer"}, iam.NeedsLessPower: {"admin", "custom"},
		} {
			if got := w.accountsIn(need); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", need, got, want)
			}
		}
		w.clock.advance(60 * day)
		if got, want := w.accountsIn(iam.NeedsLessPower), []string{"admin", "custom", "writer"}; !slices.Equal(got, want) {
			t.Errorf("100 days after the change with %s: got %v, want %v", writer.ID, got, want)
		}
	})
}

// accountNamed makes an account of a name.
func (w *world) accountNamed(name, role string) iam.ServiceAccount {
	w.t.Helper()
	return made(w.CreateServiceAccount(w.t.Context(), w.owner, "-", iam.NewServiceAccount{Name: name, Role: role}))(w.t)
}
