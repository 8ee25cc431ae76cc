package chaos

import "fmt"

// Kind is a way in which keys are asked about.
type Kind string

// The kinds of doors. Those of proxies are called as their programs.
const (
	Server   Kind = "server"   // POST /v1/verify and its batches, of a node
	Verifier Kind = "verifier" // package postern, in a process of its own

	Nginx   Kind = "nginx" // each by its recipe, in front of a service that knows nothing
	Caddy   Kind = "caddy"
	HAProxy Kind = "haproxy"
)

// Kinds returns all that there are.
func Kinds() []Kind { return []Kind{Server, Verifier, Nginx, Caddy, HAProxy} }

// Door is one place where keys are asked about.
type Door struct {
	Kind   Kind
	Number int // from 0, among those of its kind
	Node   int // the node whose word it is, or that it follows at first
}

func (d Door) String() string {
	switch d.Kind {
	case Server:
		return fmt.Sprintf("node %d", d.Node+1)
	case Verifier:
		return fmt.Sprintf("verifier %d of node %d", d.Number+1, d.Node+1)
	}
	return fmt.Sprintf("%s before node %d", d.Kind, d.Node+1)
}
