package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// Reporter is a process that answers verifications, and reports what it counted.
type Reporter struct {
	ID   string // random, of this process alone
	Name string // the node's
	Kind string // such as [ServerNode]

	Workspace WorkspaceID // whose keys it may accept; empty: those of all
	Principal PrincipalID // of a verifier: whose key it follows with
	Following Following   // of a verifier that follows a node
}

// ErrReported says that a report of this number, or of a later one, was taken before.
const ErrReported = Kind("reported")

// UsageReport is what a reporter counted since its last report. All times are the
// database's, as far as the reporter can tell: never earlier than true.
type UsageReport struct {
	Reporter string
	Number   int64     // 1, 2, …: one that was taken is not taken again
	Covers   time.Time // all that the reporter accepted before it has been reported; zero: nothing is said
	Last     bool      // the reporter accepts nothing any more, and has now said all
	Keys     []KeyUse
}

// KeyUse is how one key was used.
type KeyUse struct {
	Key         KeyID
	Principal   PrincipalID
	Workspace   WorkspaceID
	Minutes     []UsePoint // in order
	LastOK      time.Time  // zero: it was not accepted
	LastRefused time.Time  // zero: it was not refused
	Sources     []SourceUse
	Asks        []AskUse
}

// UsePoint is how often a key was accepted and refused in the minute, hour or day
// that begins at At.
type UsePoint struct {
	At      time.Time
	OK      int64
	Refused int64
}

// SourceUse is how a key was used from one address by one user agent, either of
// which may be empty: nobody said.
type SourceUse struct {
	IP        string
	UserAgent string
	Via       string // in a report, [Gateway] or empty; as it is kept, see [KeySource]
	Others    bool   // the sum of those that were too many to be told apart
	First     time.Time
	Last      time.Time
	LastOK    time.Time // zero: it was not accepted from there
	OK        int64
	Refused   int64
}

// AskUse is how often a key was asked about with the same permissions.
type AskUse struct {
	Ask     string // sorted, with a space between two; empty: none
	Others  bool   // of those that were too many to be told apart: see [WithoutIDs]; or [AnyAsk]
	Last    time.Time
	OK      int64
	Refused int64
}

// AnyAsk stands for all that were too many, or too long, even without their ids.
const AnyAsk = "…"

// WithoutIDs returns an ask as it is kept when there are too many to be told
// apart: "agents/…:execute" for "agents/bot-1:execute", each once.
func WithoutIDs(ask string) string {
	var kept []string
	for p := range strings.FieldsSeq(ask) {
		typ, _, hasID, action, ok := split(p)
		switch {
		case !ok:
			p = AnyAsk
		case hasID:
			p = typ + "/…:" + action
		}
		kept = append(kept, p)
	}
	slices.Sort(kept)
	return strings.Join(slices.Compact(kept), " ")
}

// KeySource is what is known of one source of a key. Via is what it last used the key
// at: [Gateway] of the node, or else the node's kind; empty in what was kept before
// that was.
type KeySource struct {
	SourceUse
	Node       string        // that it was last seen by
	LongestGap time.Duration // between two uses, of the last thirty days or some more
}

// AskTotal is how often the keys of one principal were asked about with the same
// permissions.
type AskTotal = AskUse

// LastUse is when, from where and with which key something was last accepted.
type LastUse struct {
	At      time.Time
	Source  audit.Source // as far as it is known
	Key     KeyID
	KeyName string
}

// UseRate is how often keys are accepted and refused by those whom one reporter
// speaks for.
type UseRate struct {
	Reporter  string
	Node      string // its name
	PerSecond float64
}

// Evidence is what is known of the use of a key and of the one that is to replace
// it. What is not known must be taken for use.
type Evidence struct {
	OldLastOK  time.Time // zero: never
	NewFirstOK time.Time
	NewLastOK  time.Time
	OldSources []KeySource // by recency
	NewSources []KeySource

	// KnownTo is up to when everything is known that was accepted by anybody: the
	// least that a reporter covers which may accept keys.
	KnownTo time.Time
	// UnknownUntil is the end of the last reporter that ended without having said
	// all; zero: there was none.
	UnknownUntil time.Time
	Silent       []string      // names of reporters that have not reported for some seconds
	LongestGap   time.Duration // between two uses of the old key from one source, the time until now among them
}

// UsageStore is where reports go. Package store implements it.
type UsageStore interface {
	// Register adds a reporter, before it accepts anything. It may be called again.
	Register(ctx context.Context, r Reporter) (now time.Time, err error)

	// Unfollow notes that a verifier's connection has ended. After a goodbye it is
	// listed no more, whatever Register is told of that connection later. Where
	// another connection was registered since, nothing changes.
	Unfollow(ctx context.Context, reporter string, f Following, goodbye bool) error

	// Report adds a report to what is known, in one transaction that takes no
	// number of the change log and holds nobody up who does. Once it returned nil,
	// every reader sees it. first is called, in that transaction, with the keys
	// that were accepted for the first time ever, if there are any. A number that
	// was taken before changes nothing, and is [ErrReported]. After another error it
	// may have been taken. A reporter that is not registered is [NotFound].
	//
	// A report takes as long as it has keys, and on SQLite a change waits for it:
	// it is better to send several in turn, of which the last says what is covered.
	Report(ctx context.Context, r UsageReport, first func(tx NoteTx, keys []Key) error) (now time.Time, err error)

	// TendUsage sums what is long past, drops what is older than policies say, and
	// ends reporters whose process has ended: of verifiers, those not heard of, by
	// Register or Report, for [VerifierGone]. Of those of one principal that have
	// ended it keeps a thousand. Any node may, at any time.
	TendUsage(ctx context.Context) error
}
