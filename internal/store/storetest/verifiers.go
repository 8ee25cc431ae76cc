package storetest

import (
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Which verifiers there are goes by what the node that each follows told last.
func testVerifiersListed(t *testing.T, open Open) {
	u := newCounting(t, open)
	home := iam.Ref[iam.WorkspaceID]{ID: u.ws.ID, Name: u.ws.Slug}
	began := u.now
	follows := func(connection, node string, acked int64) {
		t.Helper()
		must[time.Time](t, "register")(u.s.Register(t.Context(), iam.Reporter{
			ID: "v1", Name: "tickets", Kind: iam.VerifierNode, Workspace: "ws_elsewhere",
			Following: iam.Following{Connection: connection, Node: node, Home: home, Acked: acked},
		}))
	}
	ends := func(connection string, goodbye bool) {
		t.Helper()
		if err := u.s.Unfollow(t.Context(), "v1", iam.Following{Connection: connection, Acked: 8}, goodbye); err != nil {
			t.Fatalf("unfollow: %v", err)
		}
	}
	listed := func(when string, of iam.WorkspaceID, want ...iam.Follower) {
		t.Helper()
		got := must[[]iam.Follower](t, "verifiers")(u.s.Verifiers(t.Context(), of))
		equal(t, when, got, append([]iam.Follower{}, want...))
	}
	is := func(connection, node string, acked int64, heard time.Time) iam.Follower {
		return iam.Follower{
			Following: iam.Following{Connection: connection, Node: node, Home: home, Acked: acked},
			Reporter:  "v1", Name: "tickets", Since: began, Heard: heard, Silent: u.now.Sub(heard),
		}
	}
	listed("before there are any", "")

	follows("c1", "n1", 5)
	listed("to whose account it has the key of", u.ws.ID, is("c1", "n1", 5, began))
	listed("to all", "", is("c1", "n1", 5, began))
	listed("to whose keys it accepts", "ws_elsewhere")

	u.now = u.now.Add(20 * time.Second)
	listed("some time later", u.ws.ID, is("c1", "n1", 5, began))
	follows("c1", "n1", 7)
	listed("told of again", u.ws.ID, is("c1", "n1", 7, u.now))

	heard := u.now
	ends("c0", false)
	ends("c1", false)
	u.now = u.now.Add(time.Second)
	cut := is("c1", "n1", 8, heard)
	cut.Cut, cut.CutFor = true, time.Second
	listed("cut off", u.ws.ID, cut)
	ends("c1", false) // which it did before
	listed("cut off once", u.ws.ID, cut)

	follows("c2", "n2", 8)
	ends("c1", true)
	listed("over another connection", u.ws.ID, is("c2", "n2", 8, u.now))
	ends("c2", true)
	listed("after a goodbye", "")
	follows("c2", "n2", 9)
	listed("after what was on its way when it said so", "")

	follows("c3", "n2", 9)
	heard = u.now
	u.now = u.now.Add(iam.VerifierShown - time.Microsecond)
	listed("at the end of the time", u.ws.ID, is("c3", "n2", 9, heard))
	u.now = u.now.Add(time.Microsecond)
	listed("after it", "")
}
