package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// examineNodes says which nodes keep others waiting, and what the one that
// answers has raised alarms about. What the key may not see is passed over.
func examineNodes(ctx context.Context, s session) []finding {
	nodes, err := s.nodes(ctx)
	if err == nil && lagging(nodes) {
		if err := wait(ctx, lookAgain); err != nil {
			return []finding{bad("nodes", err)}
		}
		nodes, err = s.nodesStandingStill(ctx, nodes)
	}
	if isRefused(err) {
		return []finding{good("nodes", "this key may not see them: that takes iam.nodes:read")}
	}
	if err != nil {
		return []finding{bad("nodes", err)}
	}
	var findings []finding
	for _, n := range nodes {
		if err := trouble(n); err != nil {
			findings = append(findings, bad("node "+n.Name, err))
		}
	}
	if findings == nil {
		findings = []finding{good("nodes", count(int64(len(nodes)), "node")+", none of which keeps others waiting")}
	}
	return append(findings, examineAlarms(ctx, s)...)
}

// lookAgain is how long a node has to move on before it is said to stand still.
const lookAgain = time.Second

// nodes returns the servers. What they confirm, the verifiers outside that follow them
// have too.
func (s session) nodes(ctx context.Context) ([]api.Node, error) {
	return find(ctx, s, s.path(nodesPart), url.Values{}, func(n api.Node) bool { return n.Kind != iam.VerifierNode })
}

// behind returns how many changes a node has not confirmed, as far as that is known.
func behind(n api.Node) int64 {
	if n.Lag == nil {
		return 0
	}
	return *n.Lag
}

func lagging(nodes []api.Node) bool {
	for _, n := range nodes {
		if behind(n) > 0 {
			return true
		}
	}
	return false
}

// nodesStandingStill returns the nodes as they are now. The lag of one that has
// moved on since is left out: it is busy, and well.
func (s session) nodesStandingStill(ctx context.Context, before []api.Node) ([]api.Node, error) {
	was := map[string]int64{}
	for _, n := range before {
		was[n.ID] = n.Revision
	}
	nodes, err := s.nodes(ctx)
	for i, n := range nodes {
		if revision, there := was[n.ID]; !there || revision != n.Revision {
			nodes[i].Lag = nil
		}
	}
	return nodes, err
}

// trouble says what keeps a node from confirming changes, and what to do about it.
func trouble(n api.Node) error {
	switch {
	case n.LeaseLeftMS != nil && *n.LeaseLeftMS == 0:
		return fmt.Errorf("it was last heard of at %s: it is dead, stopped or cut off from the database. "+
			"Changes wait for it once, and then its row is removed", when(n.LastContact))
	case behind(n) > 0:
		return fmt.Errorf("it stands still at revision %d, %s behind, and every change waits for it: its log says why. "+
			"A node of an older release (this one is %s) may not understand a change of a newer one: upgrade or stop it", n.Revision, count(behind(n), "change"), n.Version)
	}
	return nil
}

// alarmLine is one as metrics write it.
var alarmLine = regexp.MustCompile(`(?m)^postern_node_alarms_total\{alarm="([a-z]+)"\} ([0-9.e+]+)$`)

// examineAlarms says what the node that answers has raised alarms about, to a key
// that may read metrics.
func examineAlarms(ctx context.Context, s session) []finding {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	body, err := s.Open(ctx, http.MethodGet, "/metrics", nil)
	if isRefused(err) {
		return nil
	}
	if err != nil {
		return []finding{bad("alarms", err)}
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		return []finding{bad("alarms", err)}
	}
	var findings []finding
	for _, line := range alarmLine.FindAllStringSubmatch(string(text), -1) {
		if n, err := strconv.ParseFloat(line[2], 64); err == nil && n > 0 {
			findings = append(findings, bad("alarm "+line[1], alarmWords(line[1])))
		}
	}
	if findings == nil {
		findings = []finding{good("alarms", "none since the node began")}
	}
	return findings
}

func alarmWords(name string) error {
	switch name {
	case "diverged":
		return errors.New("since the node began, the database has lost changes that the node had applied. What they ended stays denied there, " +
			"until it ends, and nowhere else. Find out which backup was restored or which standby took over; end again what had been ended; then restart the node")
	case "clocks":
		return errors.New("the clocks of the node's machine and of the database ran apart: have one source of time set both, " +
			"and see that neither is a guest whose clock stands still")
	}
	return errors.New("see docs/consistency.md")
}
