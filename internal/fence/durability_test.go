package fence

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

func TestADatabaseThatKeepsTooLittleIsRefusedInWords(t *testing.T) {
	good := iam.DurabilitySettings{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "on"}
	tests := []struct {
		name   string
		change func(*iam.DurabilitySettings)
		want   string // "quorum", "local", or a word of the refusal
	}{
		{"one server", func(s *iam.DurabilitySettings) {}, iam.Local},
		{"a synchronous standby", func(s *iam.DurabilitySettings) { s.SynchronousStandbyNames, s.Standbys = "ANY 1 (a, b)", 2 }, iam.Quorum},
		{"one that is to be applied", func(s *iam.DurabilitySettings) {
			s.SynchronousStandbyNames, s.SynchronousCommit = "a", "remote_apply"
		}, iam.Quorum},
		{"an asynchronous standby", func(s *iam.DurabilitySettings) { s.Standbys = 1 }, "synchronous_standby_names"},
		{"blanks for names", func(s *iam.DurabilitySettings) { s.Standbys, s.SynchronousStandbyNames = 1, " " }, "synchronous_standby_names"},
		{"no fsync", func(s *iam.DurabilitySettings) { s.Fsync = "off" }, "set fsync = on"},
		{"no full pages", func(s *iam.DurabilitySettings) { s.FullPageWrites = "off" }, "set full_page_writes = on"},
		{"no waiting", func(s *iam.DurabilitySettings) { s.SynchronousCommit = "local" }, "synchronous_commit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := good
			tt.change(&s)
			got, err := durabilityOf(s, false)
			if tt.want == iam.Quorum || tt.want == iam.Local {
				if got != tt.want || err != nil {
					t.Errorf("got %q, %v; want %q", got, err, tt.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, %v; want a refusal that says %q", got, err, tt.want)
			}
			if got, err := durabilityOf(s, true); got != iam.Local || err != nil {
				t.Errorf("accepted: got %q, %v; want local", got, err)
			}
		})
	}
}

func TestADatabaseThatKeepsLessThanItDidFencesTheNode(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		d.authority.Settings.SynchronousStandbyNames = "ANY 1 (a, b)"
		d.authority.Settings.Standbys = 2
		a := d.node(t, Options{})
		settle()
		if o := <-a.await(t, time.Minute, d.revoke(t)); o.Durability != iam.Quorum {
			t.Errorf("durability: got %q, want quorum", o.Durability)
		}
		d.set(func() { d.authority.Settings.SynchronousStandbyNames = "" })
		time.Sleep(time.Second)
		a.expect(t, d.key, "commits no longer wait", replica.Stale)
		rows := d.count("join")
		time.Sleep(time.Minute)
		if n := d.count("join") - rows; n != 0 {
			t.Errorf("it wrote %d rows while it refuses to answer", n)
		}
		d.set(func() { d.authority.Settings.SynchronousStandbyNames = "ANY 1 (a, b)" })
		time.Sleep(6 * time.Second)
		a.expect(t, d.key, "they do again", replica.Revoked)
	})
}

// What ends the lease says less than what keeps the node from joining again, and
// comes first.
func TestTheLogOfANodeThatRefusesSaysWhatToChange(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		d.authority.Settings.SynchronousStandbyNames, d.authority.Settings.Standbys = "ANY 1 (a, b)", 2
		said := make(lines, 100)
		d.node(t, Options{Log: slog.New(slog.NewTextHandler(said, nil))})
		settle()
		d.set(func() { d.authority.Settings.SynchronousStandbyNames = "" })
		time.Sleep(time.Minute)
		if got := said.count("set synchronous_standby_names"); got != 1 {
			t.Errorf("the log says %d times what to change, want once", got)
		}
	})
}

// A server that was promoted without the setting, and has no standby yet, is as
// safe as any single server, and keeps less than what was there before.
func TestTheLogSaysWhenConfirmationsAreWorthLess(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		d.authority.Settings.SynchronousStandbyNames, d.authority.Settings.Standbys = "ANY 1 (a, b)", 2
		said := make(lines, 100)
		a := d.node(t, Options{Log: slog.New(slog.NewTextHandler(said, nil))})
		settle()
		d.set(func() {
			d.authority.Settings.SynchronousStandbyNames, d.authority.Settings.Standbys = "", 0
			d.authority.Timeline = "00000002"
		})
		time.Sleep(time.Minute)
		a.expect(t, d.key, "after the failover", replica.Valid)
		if got := said.count("no longer waits for standbys"); got != 1 {
			t.Errorf("the log says it %d times, want once", got)
		}
	})
}

// lines keeps what is logged.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

func (l lines) count(text string) (n int) {
	for len(l) > 0 {
		if strings.Contains(<-l, text) {
			n++
		}
	}
	return n
}

// A process that starts while nothing comes back from the database is not to end.
func TestADatabaseThatDoesNotAnswerIsUnavailable(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.prepare(t, Options{})
		a.door.fail("all", context.DeadlineExceeded) // as the store says that its time was up
		if err := a.Examine(t.Context()); !errors.Is(err, iam.Unavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
	})
}

func TestABackupDoesNotStopANodeOfASingleServer(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		a := d.node(t, Options{})
		time.Sleep(10 * time.Second)
		d.set(func() { d.authority.Settings.Standbys = 1 })
		time.Sleep(10 * time.Second)
		a.expect(t, d.key, "while somebody reads the WAL", replica.Valid)
	})
}
