package fence_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// cluster is three processes on one database.
func cluster(tb testing.TB, ttl time.Duration) []*process {
	tb.Helper()
	all := startProcesses(tb, storetest.Postgres(tb), 3, ttl)
	_, err := all[0].store.Change(tb.Context(), iam.First{}, func(iam.Tx) (iam.Change, error) {
		return iam.Change{
			Workspaces: []iam.WorkspaceRecord{{ID: "ws_1", Slug: "one"}},
			Roles:      []iam.RoleRecord{{ID: "role_1", Workspace: "ws_1", Name: "operator"}},
			Principals: []iam.PrincipalRecord{{ID: "sa_1", Type: iam.ServiceAccountType, Workspace: "ws_1", Name: "bot", State: iam.Active, Role: "role_1"}},
		}, nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func numberedKey(n int) iam.KeyRecord {
	var id [16]byte
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	text := fmt.Sprint("key ", n)
	return iam.KeyRecord{
		ID: iam.KeyID(iam.FormatID(iam.KeyPrefix, id)), Principal: "sa_1", Name: text, Hash: token.NewSecret(text).Hash(),
	}
}

// change commits a change of a key, and waits for every node.
func (p *process) change(tb testing.TB, key iam.KeyRecord) iam.Receipt {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	commit, err := p.store.Change(ctx, iam.First{}, func(iam.Tx) (iam.Change, error) { return iam.Change{Keys: []iam.KeyRecord{key}}, nil })
	if err != nil {
		tb.Fatal(err)
	}
	receipt, err := iam.Await(ctx, p, commit.Seq)
	if err != nil {
		tb.Fatal(err)
	}
	return receipt
}

func (p *process) ask(ctx context.Context, key iam.KeyRecord) replica.Code {
	return p.verdict(ctx, key.Hash).Code
}

func TestOnPostgreSQLAKeyWorksAndEndsEverywhereAtOnce(t *testing.T) {
	all := cluster(t, 2*time.Second)
	for n := range 100 {
		key, at := numberedKey(n), all[n%len(all)]
		at.change(t, key)
		for i, p := range all {
			if got := p.ask(t.Context(), key); got != replica.Valid {
				t.Fatalf("key %d on node %d after it was made: %s", n, i, got)
			}
		}
		key.Revoked = true
		receipt := at.change(t, key)
		for i, p := range all {
			if got := p.ask(t.Context(), key); got != replica.Revoked {
				t.Fatalf("key %d on node %d after it was revoked: %s", n, i, got)
			}
		}
		if n > 0 && (receipt.By != "acked" || receipt.Nodes.Confirmed != 3 || receipt.Durability != "local") {
			t.Errorf("receipt %d: %+v", n, receipt)
		}
	}
}

func TestOnPostgreSQLADeadNodeIsWaitedForOnce(t *testing.T) {
	const ttl = time.Second
	all := cluster(t, ttl)
	key := numberedKey(1)
	all[0].change(t, key)
	all[2].kill()
	key.Revoked = true
	begun := time.Now()
	receipt := all[0].change(t, key)
	if took := time.Since(begun); receipt.By != "expired" || !slices.Equal(receipt.Nodes.Expired, []string{"node-2"}) || took > ttl+10*time.Second {
		t.Errorf("it took %v: %+v", took, receipt) // a TTL, or less where the row was removed first; the rest is for a busy machine
	}
	for all[0].nodes(t) > 2 {
		time.Sleep(10 * time.Millisecond) // a real database, and a real second
	}
	begun = time.Now()
	if receipt := all[1].change(t, key); receipt.By != "acked" || receipt.Nodes.Total != 2 {
		t.Errorf("then, after %v: %+v", time.Since(begun), receipt)
	}
}

func (p *process) nodes(t testing.TB) int {
	t.Helper()
	all, err := p.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestOnPostgreSQLANodeLeavesWithoutATrace(t *testing.T) {
	all := cluster(t, 2*time.Second)
	key := numberedKey(1)
	all[0].change(t, key)
	if err := all[2].Leave(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := all[2].ask(t.Context(), key); got != replica.Stale {
		t.Errorf("it answers %s after it has left", got)
	}
	if receipt := all[0].change(t, key); receipt.By != "acked" || receipt.Nodes.Total != 2 {
		t.Errorf("receipt: %+v", receipt)
	}
}
