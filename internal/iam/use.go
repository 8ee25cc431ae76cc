package iam

import (
	"net/netip"
	"time"
)

// Use is one decision about a key that was found.
type Use struct {
	Key       [16]byte // of the key's id: see [ParseID]
	HashHead  uint64   // see [token.Hash.Head]; the same in all uses of a key
	Principal PrincipalID
	Workspace WorkspaceID
	OK        bool       // the key was accepted; else it was refused
	Gateway   bool       // a proxy asked, at a gateway's listener
	IP        netip.Addr // where it was used; invalid: nobody said
	UserAgent string     // that it was used with, fit to be kept; empty: nobody said
	Asked     []string   // permissions, as they were written, none of them twice
}

// Gathering is what a process tells of the uses that it counts, for whoever
// watches over it. The counts begin with the process.
type Gathering struct {
	Counted    int64         // uses, up to the last look
	Dropped    int64         // sources and asks that were too many to be told apart
	Reports    int64         // that the store took
	Failures   int64         // attempts to report that failed
	Unreported time.Duration // all that was counted longer ago is known to have been reported
}
