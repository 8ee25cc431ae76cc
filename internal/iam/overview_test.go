package iam_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/internal/iam"
)

// overview tells in lines what a caller sees first.
func (w *world) overview(c iam.Caller) string {
	w.t.Helper()
	o, err := w.Overview(w.t.Context(), c, "-")
	if err != nil {
		w.t.Fatalf("overview: %v", err)
	}
	var words []string
	if n := o.Accounts; n != nil {
		words = append(words, fmt.Sprintf("accounts: %d active, %d paused", n.Active, n.Paused))
	}
	if n := o.Keys; n != nil {
		words = append(words, fmt.Sprintf("keys: %d active, %d expiring, %d unused, %d never used, %d without an end",
			n.Active, n.Expiring, n.Unused, n.NeverUsed, n.NeverExpires))
	}
	if o.Traffic != nil {
		points := o.Traffic.Of[0].Points
		words = append(words, fmt.Sprintf("%d hours, the last %s", len(points), picture(points[len(points)-1:])))
	}
	if o.Seats != nil {
		words = append(words, fmt.Sprintf("%d seats", o.Seats.Used))
	}
	for _, k := range o.Attention {
		var about []string
		for _, a := range k.About {
			name := strings.TrimSpace(a.Target.Type + " " + a.Target.Name)
			if a.Principal.Name != "" {
				name += " of " + a.Principal.Name
			}
			about = append(about, name)
		}
		words = append(words, fmt.Sprintf("%s: %s", k.Code, strings.Join(about, ", ")))
	}
	for _, h := range o.Hidden {
		words = append(words, fmt.Sprintf("%s is hidden without %s", h.Part, h.Needs))
	}
	return strings.Join(words, "\n")
}

func wantOverview(t *testing.T, when, got string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func TestOverviewOfAnEmptyWorkspace(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		wantOverview(t, "at the beginning", w.overview(w.owner),
			"accounts: 0 active, 0 paused", "keys: 1 active, 0 expiring, 0 unused, 1 never used, 0 without an end", "24 hours, the last 0/0", "1 seats")
	})
}

func TestOverviewSaysWhatNeedsAttention(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.ninetyDays()
		numbers := []string{
			"accounts: 2 active, 1 paused", "keys: 6 active, 3 expiring, 1 unused, 2 never used, 1 without an end", "24 hours, the last 8/1", "1 seats",
		}
		ofKeys := []string{
			"rotation_ready: rotation later of bot", "key_expiring_in_use: key soon of bot", "member_key_machine_like: key script of Owner of acme",
		}
		ofAccounts := []string{
			"account_too_powerful: service_account admin", "account_without_owner: service_account admin", "account_without_keys: service_account off",
		}
		wantOverview(t, "after ninety days", w.overview(w.owner), slices.Concat(numbers, ofKeys, ofAccounts)...)

		behind := iam.NodeStatus{NodeRow: iam.NodeRow{Name: "b", TTL: time.Second, Acked: 1}, Lag: 9, LeaseLeft: time.Second}
		w.Roster = roster{nodeRow("a", "1", iam.ServerNode), behind}
		wantOverview(t, "while a node lags behind", w.overview(w.owner), slices.Concat(numbers, []string{"revocation_unconfirmed: receipt"}, ofKeys, ofAccounts)...)
		behind.LeaseLeft = 0
		w.Roster = roster{behind}
		wantOverview(t, "when it cannot answer any more", w.overview(w.owner), slices.Concat(numbers, ofKeys, ofAccounts)...)
	})
}

// ninetyDays lets time go by in a workspace in which much needs attention.
func (w *world) ninetyDays() {
	w.t.Helper()
	ctx := w.t.Context()
	admin, bot, off := w.accountNamed("admin", iam.Admin), w.accountNamed("bot", iam.Viewer), w.accountNamed("off", iam.Viewer)
	for _, name := range []string{"bot", "off"} {
		made(w.UpdateServiceAccount(ctx, w.owner, "-", name, iam.AccountPatch{Owner: new("Platform")}))(w.t)
	}
	made(w.PauseServiceAccount(ctx, w.owner, "-", off.Name, ""))(w.t)
	forever, soon := w.keyNamed(admin, "forever", 0), w.keyNamed(bot, "soon", 93*day)
	later, gone := w.keyNamed(bot, "later", 104*day), w.keyNamed(bot, "gone", 104*day)
	w.keyNamed(bot, "idle", 93*day)
	w.clock.advance(85*day - 9*time.Hour) // at midnight
	script, secret := issued(w.CreateMyKey(ctx, w.owner, "-", iam.NewKey{Name: "script"}))(w.t)
	w.used(w.eachHour(script.ID, 3, 18, 1)...)
	w.used(use{key: forever.ID, ok: 1})
	issued(w.StartRotation(ctx, w.owner, "-", later.ID, iam.NewRotation{QuietFor: time.Minute}))(w.t)
	w.clock.advance(5*day + 10*time.Hour)
	w.used(use{key: soon.ID, ok: 3, refused: 1}, use{key: later.ID, ok: 5})
	w.tend()
	now := w.clock.now()
	w.know(iam.Evidence{NewFirstOK: now.Add(-time.Hour), NewLastOK: now, KnownTo: now})
	if err := w.AdvanceRotations(ctx, "node-1", func(context.Context) error { return nil }); err != nil {
		w.t.Fatalf("advance: %v", err)
	}
	made(w.RevokeKey(ctx, w.caller(secret), "-", gone.ID, iam.Why{}))(w.t)
}

func TestOverviewHidesWhatItsReaderMayNotRead(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		hidden := func(permission string, parts ...string) (all []string) {
			for _, p := range parts {
				all = append(all, p+" is hidden without iam."+permission+":read")
			}
			return all
		}
		keys := hidden("keys", "rotation_ready", "key_expiring_in_use", "member_key_machine_like")
		accounts := hidden("service_accounts", "account_too_powerful", "account_without_owner", "account_without_keys")
		wantOverview(t, "to one who may nothing", w.overview(w.holding("tickets:read")), slices.Concat(
			hidden("service_accounts", "service_accounts"), hidden("keys", "keys", "requests_24h"), hidden("members", "seats"),
			hidden("audit", "revocation_unconfirmed"), keys, accounts)...)
		wantOverview(t, "to one who sees people", w.overview(w.holding("iam.members:read")), slices.Concat([]string{"1 seats"},
			hidden("service_accounts", "service_accounts"), hidden("keys", "keys", "requests_24h"), hidden("audit", "revocation_unconfirmed"), keys, accounts)...)
		_, err := w.Overview(t.Context(), w.owner, string(w.system.Workspace.ID))
		wantKind(t, err, iam.NotFound)
	})
}

// keyNamed makes a key of a name that works for a while; zero: for ever.
func (w *world) keyNamed(a iam.ServiceAccount, name string, lasting time.Duration) iam.Key {
	w.t.Helper()
	key, _ := w.key(a, iam.NewKey{Name: name, Expiry: &iam.Expiry{In: lasting}})
	return key
}
