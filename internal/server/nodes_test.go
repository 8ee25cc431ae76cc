package server_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// roster is what a test says that the nodes are.
type roster []iam.NodeStatus

// Nodes implements [iam.Roster].
func (r roster) Nodes(context.Context) ([]iam.NodeStatus, error) { return r, nil }

func TestANodeThatIsAloneIsListedWithoutALease(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		var list api.List[api.Node]
		w.do(t, get(x.root+"/nodes", x.owner)).want(http.StatusOK, &list)
		if len(list.Data) != 1 || list.HasMore {
			t.Fatalf("got %+v, want one node", list)
		}
		n := list.Data[0]
		if n.Name != "test" || n.Kind != "server" || !n.Self || n.Lag != 0 || n.Revision == 0 || len(n.ID) != 32 || n.LeaseTTLMS != nil || n.LeaseLeftMS != nil {
			t.Errorf("got %+v", n)
		}
		if since := time.Since(n.LastContact.Time); since < 0 || since > time.Minute {
			t.Errorf("it was heard of %v ago", since)
		}
	})
}

func TestAListOfNodesSaysWhatIsKnownOfEach(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		began := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
		w.faults.roster = roster{
			{
				NodeRow:   iam.NodeRow{Incarnation: "2", Name: "b", Kind: "server", Version: "v1", TTL: 5 * time.Second, Bounded: 10 * time.Second, Acked: 7, StartedAt: began},
				LeaseLeft: 1500 * time.Millisecond, Lag: 3, LastContact: began.Add(time.Hour + 999*time.Nanosecond),
			},
			{NodeRow: iam.NodeRow{Incarnation: "1", Name: "a", Kind: "server", TTL: time.Second}, Own: true},
		}
		var first, second api.List[api.Node]
		w.do(t, get(x.root+"/nodes?limit=1", x.owner)).want(http.StatusOK, &first)
		if len(first.Data) != 1 || first.Data[0].Name != "a" || *first.Data[0].LeaseLeftMS != 0 || first.Data[0].Consistency != "strict" || first.NextCursor == nil {
			t.Fatalf("first page: %+v", first)
		}
		w.do(t, get(x.root+"/nodes?limit=1&cursor="+*first.NextCursor, x.owner)).want(http.StatusOK, &second)
		if len(second.Data) != 1 || second.HasMore {
			t.Fatalf("second page: %+v", second)
		}
		got := second.Data[0]
		ttl, left := *got.LeaseTTLMS, *got.LeaseLeftMS
		if got.RequestsPerSecond == nil || *got.RequestsPerSecond != 0 {
			t.Errorf("got %v requests in a second, want 0: nobody reports for it", got.RequestsPerSecond)
		}
		got.LeaseTTLMS, got.LeaseLeftMS, got.RequestsPerSecond = nil, nil, nil
		want := api.Node{ID: "2", Name: "b", Kind: "server", Version: "v1", Consistency: "bounded", Revision: 7, Lag: 3, LastContact: api.NewTime(began.Add(time.Hour)), StartedAt: api.NewTime(began)}
		if got != want || ttl != 15_000 || left != 1500 {
			t.Errorf("got %+v, lease %d of %d ms; want %+v, 1500 of 15000", got, left, ttl, want)
		}
	})
}
