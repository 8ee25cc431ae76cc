package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/store"
)

// examineStore looks at the database and the root secret that the settings name,
// as a server with them would find them. It changes nothing.
func examineStore(ctx context.Context, cfg config.Config) []finding {
	if err := judge(cfg); err != nil {
		return []finding{bad("settings", err)}
	}
	findings := []finding{good("settings", "a server would start with them")}
	n, err := openForLooking(ctx, cfg)
	if err != nil {
		return append(findings, bad("store", err))
	}
	findings = append(findings, n.look(ctx, cfg)...)
	if err := n.close(); err != nil {
		findings = append(findings, bad("store", err))
	}
	return findings
}

// openForLooking opens a store beside the servers that have it. It makes none.
func openForLooking(ctx context.Context, cfg config.Config) (*node, error) {
	log := slog.New(slog.DiscardHandler)
	if cfg.Postgres() {
		return openNode(ctx, cfg, log, duty{})
	}
	path, _ := cfg.SQLitePath()
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w: to make it, run postern init", err)
	}
	rows, err := store.New(ctx, cfg.StoreURL, store.Options{})
	if err != nil {
		return nil, err
	}
	return &node{cfg: cfg, log: log, rows: rows, closers: []func() error{rows.Close}}, nil
}

// look goes from the connection upwards, and ends where the next depends on what
// failed.
func (n *node) look(ctx context.Context, cfg config.Config) []finding {
	if err := n.reach(ctx); err != nil {
		return []finding{bad("store", fmt.Errorf("%s does not answer: %w", config.MaskURL(cfg.StoreURL), err))}
	}
	findings := []finding{good("store", "it answers")}
	condition, err := n.rows.Condition(ctx)
	if err != nil {
		return append(findings, bad("tables", err))
	}
	tables := examineTables(condition)
	if findings = append(findings, tables); !tables.OK {
		return findings
	}
	findings = append(findings, examineLog(condition))
	if n.among != nil {
		findings = append(findings, n.examineDurability(ctx, cfg))
	}
	return append(findings, n.examineSecret(ctx))
}

func examineTables(c store.Condition) finding {
	switch {
	case c.Unknown != nil:
		return bad("tables", fmt.Errorf("a newer release has changed them (%s): run that release", texts(c.Unknown)))
	case c.Missing != nil:
		return bad("tables", fmt.Errorf("they lack %s: start a server of this release, or run postern init on an empty store", texts(c.Missing)))
	}
	return good("tables", "they are those of this release")
}

// examineLog says whether the database still has every change that it confirmed.
func examineLog(c store.Condition) finding {
	switch {
	case c.Acked > c.Head:
		return bad("changes", fmt.Errorf("a node has applied change %d, and the database ends with %d: %s", c.Acked, c.Head, lostWords))
	case c.Lost():
		return bad("changes", fmt.Errorf("the log ends with change %d and is to end with %d: %s", c.Last, c.Head, lostWords))
	}
	return good("changes", fmt.Sprintf("the log is whole up to change %d", c.Head))
}

const lostWords = "it has lost changes, as after an older backup was restored or an asynchronous standby took over; " +
	"what they ended works again where nobody remembers: revoke it anew, by the audit log that you exported"

// examineDurability says whether PostgreSQL's settings carry the promise.
func (n *node) examineDurability(ctx context.Context, cfg config.Config) finding {
	err := n.among.Examine(ctx)
	switch {
	case errors.Is(err, fence.ErrRefused):
		return bad("durability", err)
	case err != nil:
		return bad("durability", fmt.Errorf("PostgreSQL's settings cannot be read: %w", err))
	case cfg.Durability == "local":
		return good("durability", "not looked at: with durability local a failure of the database can undo what was confirmed")
	}
	return good("durability", "PostgreSQL keeps what it confirms")
}

// examineSecret compares the root secret with the fingerprint in the store.
func (n *node) examineSecret(ctx context.Context) finding {
	path := n.cfg.SecretPath()
	secret, err := readRootSecret(path)
	if err != nil {
		return bad("secret", err)
	}
	_, missing, err := compareFingerprint(ctx, n.rows, secret, path)
	switch {
	case err != nil:
		return bad("secret", err)
	case missing:
		return good("secret", "the store has no fingerprint yet, and takes that of the first server")
	}
	return good("secret", path+" goes with this store")
}
