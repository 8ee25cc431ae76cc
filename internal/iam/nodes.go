package iam

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/audit"
)

// Nodes lists the nodes that answer verifications, as the one that is asked knows
// of them. A tenant sees the servers, and its own verifiers. here is as in
// [NodesSeenBy].
func (s *Service) Nodes(ctx context.Context, c Caller, ws string, page Page, here []NodeStatus) (List[NodeStatus], error) {
	id, err := s.reading(ctx, c, ws, ReadNodes, audit.Target{Type: "node"})
	if err != nil {
		return List[NodeStatus]{}, err
	}
	compare, err := nodeOrder(page.Sort)
	if err != nil {
		return List[NodeStatus]{}, err
	}
	all, err := NodesSeenBy(ctx, id, c.System, s.Roster, s.Store, here)
	if err != nil {
		return List[NodeStatus]{}, err
	}
	all = slices.DeleteFunc(all, func(n NodeStatus) bool {
		return page.After != nil && compare(n, nodePlace(page.After)) <= 0
	})
	slices.SortFunc(all, compare)
	var next []string
	if limit := max(page.Limit, 1); len(all) > limit {
		all = all[:limit]
		next = []string{all[limit-1].Name, all[limit-1].Incarnation}
	}
	if err := s.addRates(ctx, all); err != nil {
		return List[NodeStatus]{}, err
	}
	return List[NodeStatus]{Items: all, Next: next}, nil
}

// addRates says of each node how often keys are used there. One that is alone has
// no row that names its reporter: there, the name does.
func (s *Service) addRates(ctx context.Context, nodes []NodeStatus) error {
	rates, err := s.Store.UseRates(ctx)
	if err != nil {
		return err
	}
	type place struct{ reporter, name string }
	sums := map[place]float64{}
	for _, r := range rates {
		sums[place{reporter: r.Reporter}] += r.PerSecond
		sums[place{name: r.Node}] += r.PerSecond
	}
	for i, n := range nodes {
		at := place{reporter: n.Reporter}
		if n.Reporter == "" {
			at = place{name: n.Name}
		}
		nodes[i].UsesPerSec = new(sums[at])
	}
	return nil
}

// nodeOrder returns the order that a list of nodes is asked for in.
func nodeOrder(sort string) (func(a, b NodeStatus) int, error) {
	byName := func(a, b NodeStatus) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Incarnation, b.Incarnation))
	}
	switch sort {
	case "", "name":
		return byName, nil
	case "-name":
		return func(a, b NodeStatus) int { return byName(b, a) }, nil
	}
	return nil, Invalid("/sort", "not_a_sort", "nodes are sorted by name, with - before it for descending")
}

// nodePlace returns the place in the order that an After stands for.
func nodePlace(after []string) (n NodeStatus) {
	for i, part := range []*string{&n.Name, &n.Incarnation} {
		if i < len(after) {
			*part = after[i]
		}
	}
	return n
}
