package iam

import (
	"context"
	"time"
)

// NodeRow is what a node has written down of itself where all nodes can read it.
type NodeRow struct {
	Incarnation string // random: made for one attempt to join, never shared, never used again
	Name        string // for people; two nodes may have the same
	Kind        string // such as [ServerNode]
	Version     string // of the program
	Reporter    string // the id under which its process reports how keys are used
	TTL         time.Duration
	Bounded     time.Duration // zero: the node is strict
	Acked       int64         // the node answers from this change or a later one, or not at all
	Counter     int64         // of its renewals
	StartedAt   time.Time     // the database's time when it joined
}

// ServerNode is the kind of a node that serves the API.
const ServerNode = "server"

// Gateway is the listener of a server where proxies ask. It is no node of its own.
const Gateway = "gateway"

// VerifierNode is the kind of a verifier outside the server, which follows one.
const VerifierNode = "verifier"

// A verifier may accept keys only while the server that it follows has heard of its
// reporter within VerifierHeard, by the server's clock. VerifierGone is so much longer
// that what a server gives until it can no longer reach the store is over then.
const (
	VerifierHeard = 60 * time.Second
	VerifierGone  = 180 * time.Second
)

// Lingers returns for how long a node may answer after its last renewal.
func (n NodeRow) Lingers() time.Duration { return n.TTL + n.Bounded }

// Authority is the database server that gave an answer, as it describes itself.
type Authority struct {
	System   string // of the database cluster; a restored copy keeps it
	Timeline string // another one since a standby took over, or a backup was restored
	Started  string // when the server process did
	Now      time.Time
	Settings DurabilitySettings
}

// Same reports whether both answers come from one line of history.
func (a Authority) Same(b Authority) bool { return a.System == b.System && a.Timeline == b.Timeline }

// DurabilitySettings are the settings of a database server that decide whether a
// commit that was acknowledged can be taken back.
type DurabilitySettings struct {
	Fsync                   string
	FullPageWrites          string
	SynchronousCommit       string // of the connection that asked
	SynchronousStandbyNames string
	Standbys                int64 // physical standbys that are connected now
}

// Renewal is the answer of the database to a node that wrote to its row.
type Renewal struct {
	Authority
	Head Position  // the last change that was committed when the write was made
	Time time.Time // the greatest that the database ever told
}

// Roll is the list of all nodes, as one server had it at one moment.
type Roll struct {
	Authority
	Nodes []NodeRow // in the order of their incarnations
}

// Roster knows the nodes that answer verifications.
type Roster interface {
	// Nodes returns all of them, in any order. An error of kind [Unavailable]
	// means that this cannot be found out now.
	Nodes(ctx context.Context) ([]NodeStatus, error)
}

// NodeStatus is what the node that is asked knows of a node.
type NodeStatus struct {
	NodeRow
	Own         bool          // it is the one that is asked
	Lag         int64         // changes that it has not acknowledged
	LastContact time.Time     // the database's time at its last sign of life
	LeaseLeft   time.Duration // for how long it may answer, if that was its last
	UsesPerSec  *float64      // how often keys are used there; nil: nobody has looked

	// Of a verifier outside the server, which follows a node:
	Follows   string           // the name of that one
	Home      Ref[WorkspaceID] // of the account whose key it has; Name is the slug
	SetAside  bool             // it gets no lease until it has caught up, or for a while
	Elsewhere bool             // it does not follow the node that is asked: Lag and SetAside say nothing
	Unwatched bool             // LeaseLeft says nothing either
}

// Leased reports whether the node answers only under a lease. Only one that is
// alone does not.
func (s NodeStatus) Leased() bool { return s.TTL > 0 }

// Silent reports whether the node is known to be dead or cut off.
func (s NodeStatus) Silent() bool { return s.Leased() && !s.Unwatched && s.LeaseLeft <= 0 }

// Vitals is what a node knows of itself, for whoever watches over it.
type Vitals struct {
	Answers    bool
	NewsAge    time.Duration // with Answers: how old the news can be that an answer rests on
	Leased     bool          // false: it is alone, and needs no lease
	LeaseLeft  time.Duration // with Leased: for how long it answers without hearing of the database
	Durability string        // quorum or local; empty: it has no lease yet
	Waiting    int           // changes that wait until every node has applied them
	Alarms     Alarms
}

// Alarms counts what must not happen, since the process began.
type Alarms struct {
	Diverged int64 // the database had lost changes that this node had applied
	Clocks   int64 // the clocks of this machine and the database disagreed by two TTLs
}
