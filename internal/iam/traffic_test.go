package iam_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// use is how a key was used at a moment.
type use struct {
	key         iam.KeyID
	at          time.Time // zero: now
	ok, refused int64
	ask         string
	others      bool   // the ask stands for several
	ip          string // empty: nobody said
}

// used reports uses as a node does.
func (w *world) used(uses ...use) {
	w.t.Helper()
	ctx := w.t.Context()
	if _, err := w.db.Register(ctx, iam.Reporter{ID: "r1", Name: "node-1", Kind: iam.ServerNode}); err != nil {
		w.t.Fatalf("register: %v", err)
	}
	for _, u := range uses {
		if u.at.IsZero() {
			u.at = w.clock.now()
		}
		key, err := w.db.Key(ctx, w.owner.Workspace.ID, u.key)
		if err != nil {
			w.t.Fatalf("read key: %v", err)
		}
		k := iam.KeyUse{
			Key: u.key, Principal: key.Principal.ID, Workspace: key.Workspace,
			Minutes: []iam.UsePoint{{At: u.at.Truncate(time.Minute), OK: u.ok, Refused: u.refused}},
			Sources: []iam.SourceUse{{IP: u.ip, First: u.at, Last: u.at, OK: u.ok, Refused: u.refused}},
			Asks:    []iam.AskUse{{Ask: u.ask, Others: u.others, Last: u.at, OK: u.ok, Refused: u.refused}},
		}
		if u.ok > 0 {
			k.LastOK, k.Sources[0].LastOK = u.at, u.at
		}
		if u.refused > 0 {
			k.LastRefused = u.at
		}
		w.reports.Add(1)
		if _, err := w.Report(ctx, iam.UsageReport{Reporter: "r1", Number: w.reports.Load(), Keys: []iam.KeyUse{k}}); err != nil {
			w.t.Fatalf("report: %v", err)
		}
	}
}

// picture writes points as accepted/refused.
func picture(points []iam.UsePoint) string {
	var all []string
	for _, p := range points {
		all = append(all, fmt.Sprintf("%d/%d", p.OK, p.Refused))
	}
	return strings.Join(all, " ")
}

func TestUseOfAKeyIsShownInStepsWithoutHoles(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		key, _ := w.key(w.account(iam.Viewer), iam.NewKey{})
		w.clock.advance(3*day + 90*time.Second)
		w.used(
			use{key: key.ID, ok: 5, refused: 1, ip: "192.0.2.1"},
			use{key: key.ID, at: w.clock.now().Add(-2 * time.Minute), ok: 2, ip: "192.0.2.2"},
			use{key: key.ID, at: w.clock.now().Add(-25 * time.Hour), ok: 7, ip: "192.0.2.2"},
		)
		now := w.clock.now()
		for name, tt := range map[string]struct {
			span iam.Span
			want string
		}{
			"minutes":            {iam.Span{From: now.Add(-3 * time.Minute), To: now.Add(time.Second), Step: time.Minute}, "0/0 2/0 0/0 5/1"},
			"hours":              {iam.Span{From: now.Add(-26 * time.Hour), To: now.Add(-23 * time.Hour), Step: time.Hour}, "0/0 7/0 0/0 0/0"},
			"days":               {iam.Span{From: now.Add(-2 * day), Step: day}, "0/0 7/0 7/1"},
			"the end is outside": {iam.Span{From: now.Add(-2 * time.Minute), To: now.Truncate(time.Minute), Step: time.Minute}, "2/0 0/0"},
		} {
			got, err := w.KeyUsage(t.Context(), w.owner, "-", key.ID, tt.span)
			if err != nil || picture(got.Points) != tt.want {
				t.Errorf("%s: got %s and error %v, want %s", name, picture(got.Points), err, tt.want)
			}
			if len(got.Sources) != 2 || got.Sources[0].IP != "192.0.2.1" || got.Sources[1].OK != 9 {
				t.Errorf("%s: got sources %+v, want both, the last first", name, got.Sources)
			}
		}
		w.clock.micros.Store(began.Add(4 * day).Truncate(day).UnixMicro()) // a step of each has just begun
		w.used(use{key: key.ID, ok: 5})
		for step, want := range map[time.Duration]int{time.Minute: 60, time.Hour: 24, day: 30} {
			got, err := w.KeyUsage(t.Context(), w.owner, "-", key.ID, iam.Span{Step: step})
			if err != nil || len(got.Points) != want || got.Points[want-1].OK < 5 {
				t.Errorf("%s and nothing else: got %d points and error %v, want %d, the last with what is now", step, len(got.Points), err, want)
			}
		}
	})
}

func TestUseOfManyIsOneAnswer(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		account := w.account(iam.Viewer)
		a, _ := w.key(account, iam.NewKey{})
		b, _ := w.key(account, iam.NewKey{})
		idle, _ := w.key(w.account(iam.Viewer), iam.NewKey{})
		foreign := w.by(w.tenant("theirs"))
		theirs, _ := foreign.key(foreign.account(iam.Viewer), iam.NewKey{})
		w.used(use{key: a.ID, ok: 3}, use{key: b.ID, ok: 4, refused: 1})
		foreign.used(use{key: theirs.ID, ok: 100})
		two := iam.Span{From: w.clock.now().Add(-day), To: w.clock.now().Add(time.Second), Step: day}
		for name, tt := range map[string]struct {
			of   iam.Subjects
			want string
		}{
			"keys, in their order, each once": {
				iam.Subjects{Keys: []iam.KeyID{b.ID, idle.ID, theirs.ID, a.ID, "key_x", b.ID}},
				fmt.Sprintf("%s 0/0 4/1, %s 0/0 0/0, %s 0/0 3/0", b.ID, idle.ID, a.ID),
			},
			"accounts": {
				iam.Subjects{Accounts: []iam.PrincipalID{account.ID, w.owner.Principal.ID}},
				fmt.Sprintf("%s 0/0 7/1", account.ID),
			},
			"nothing of another": {iam.Subjects{Keys: []iam.KeyID{theirs.ID, iam.KeyID(account.ID)}}, ""},
			"all":                {iam.Subjects{}, fmt.Sprintf("%s 0/0 7/1", w.owner.Workspace.ID)},
		} {
			got, err := w.Usage(t.Context(), w.owner, "-", tt.of, two)
			var words []string
			for _, s := range got.Of {
				words = append(words, s.ID+" "+picture(s.Points))
			}
			if said := strings.Join(words, ", "); err != nil || said != tt.want {
				t.Errorf("%s: got %q and error %v, want %q", name, said, err, tt.want)
			}
		}
	})
}

func TestUseIsAnsweredWithinBounds(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		key, _ := w.key(w.account(iam.Viewer), iam.NewKey{})
		many := make([]iam.KeyID, 201)
		for i := range many {
			many[i] = iam.KeyID(fmt.Sprint("key_", i))
		}
		now := w.clock.now()
		for name, tt := range map[string]struct {
			of      iam.Subjects
			span    iam.Span
			pointer string
		}{
			"too many ids":     {iam.Subjects{Keys: many}, iam.Span{Step: day}, "/keys"},
			"both":             {iam.Subjects{Keys: many[:1], Accounts: []iam.PrincipalID{"sa_1"}}, iam.Span{Step: day}, "/service_accounts"},
			"too many points":  {iam.Subjects{Keys: many[:200]}, iam.Span{From: now.Add(-101 * time.Hour), Step: time.Hour}, "/from"},
			"too fine":         {iam.Subjects{}, iam.Span{From: now.Add(-20 * day), Step: time.Minute}, "/from"},
			"backwards":        {iam.Subjects{}, iam.Span{From: now.Add(time.Hour), Step: time.Minute}, "/from"},
			"since for ever":   {iam.Subjects{}, iam.Span{From: now.AddDate(-11, 0, 0), Step: day}, "/from"},
			"of a single step": {iam.Subjects{Keys: []iam.KeyID{key.ID}}, iam.Span{From: now.Add(-day), Step: day}, ""},
		} {
			_, err := w.Usage(t.Context(), w.owner, "-", tt.of, tt.span)
			shown, _ := errors.AsType[*iam.Error](err)
			if tt.pointer == "" && err != nil || tt.pointer != "" && (shown == nil || len(shown.Fields) != 1 || shown.Fields[0].Pointer != tt.pointer) {
				t.Errorf("%s: got error %v, want one at %q", name, err, tt.pointer)
			}
		}
		half := w.holding("iam.keys:read")
		_, err := w.Usage(t.Context(), half, "-", iam.Subjects{Accounts: []iam.PrincipalID{key.Principal.ID}}, iam.Span{Step: day})
		wantDenied(t, err, "iam.service_accounts:read")
	})
}
