package stream

import (
	"cmp"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

func compareNodes(a, b iam.NodeStatus) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Incarnation, b.Incarnation))
}

// sameNode reports whether nothing about a node changed that readers are told of.
func sameNode(a, b iam.NodeStatus) bool {
	return a.Incarnation == b.Incarnation && a.Name == b.Name && a.Kind == b.Kind && a.Version == b.Version &&
		a.Bounded == b.Bounded && a.Silent() == b.Silent() &&
		a.Follows == b.Follows && a.SetAside == b.SetAside && a.Elsewhere == b.Elsewhere && a.Unwatched == b.Unwatched
}
