// Package relay is the text of the stream by which a verifier outside the server
// follows it: all that its scope sees, then each change as it is made. Both ends are
// here.
//
// A stream is a row of frames. A frame is the length of the rest as a varint, one
// byte that says of what kind it is, and what it holds. Keys, which are many, are
// binary; all else is JSON. Whatever one end does not know, a kind, a field or a
// version, is an error: a verifier that cannot read a change must not go on as if
// there were none.
package relay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// ContentType is the media type of a stream.
const ContentType = "application/vnd.postern.replica"

// Version is the version of the stream that this program writes, and the highest that
// it reads.
const Version = 1

// The kinds of frames.
const (
	kindHello     = 'H'
	kindWorkspace = 'W'
	kindRole      = 'R'
	kindPrincipal = 'P'
	kindKey       = 'K'
	kindLoaded    = 'S' // the end of a snapshot
	kindChange    = 'C'
	kindTo        = 'T' // what the changes before it lead to
	kindBeat      = 'B'
	kindEnd       = 'E'
)

const (
	// mostFrame bounds the memory that one frame may ask for, in bytes.
	mostFrame = 16 << 20

	// mostBatch bounds that of the changes that are to be applied together, in bytes.
	mostBatch = 256 << 20

	// MostChanges is how many changes can be told at once. Whoever is further behind
	// needs a snapshot.
	MostChanges = 1 << 18

	pieceLen  = 256      // records of a change in one frame, at most
	bufferLen = 64 << 10 // bytes
)

// ErrTooMany says that somebody is too many changes behind to be told of each.
var ErrTooMany = errors.New("relay: too many changes at once")

// Hello is the first frame of a stream.
type Hello struct {
	Child       string          `json:"child"` // the id of this connection, for its renewals
	Node        string          `json:"node"`  // that answers
	Workspace   iam.WorkspaceID `json:"workspace,omitempty"`
	Any         bool            `json:"any,omitempty"` // instead of one workspace: all of them
	Resumed     bool            `json:"resumed"`       // it goes on after the position asked for, without a snapshot
	Reader      int             `json:"reader"`        // the lowest version that can read the stream
	HeartbeatMS int64           `json:"heartbeat_ms"`  // between two signs of life
	Prefixes    []string        `json:"prefixes"`      // of keys: what begins otherwise is none
	Time        time.Time       `json:"time"`          // the latest that the time of the database can be
}

// Heartbeat returns how often the other end says something at least.
func (h Hello) Heartbeat() time.Duration { return time.Duration(h.HeartbeatMS) * time.Millisecond }

func (h Hello) check() error {
	switch {
	case h.Reader < 1 || h.Reader > Version:
		return fmt.Errorf("the stream needs reader version %d, this program has %d", h.Reader, Version)
	case h.Child == "" || h.HeartbeatMS <= 0:
		return errors.New("the stream does not say who one is in it, or how often it is heard of")
	case len(h.Prefixes) == 0:
		return errors.New("the stream does not say how keys begin")
	case h.Any == (h.Workspace != ""):
		return errors.New("the stream does not say whose keys it tells of")
	}
	return nil
}

// Ended is how a stream ends whose writer had time to say why.
type Ended struct {
	Reason string `json:"reason"`
}

// The reasons for which a stream ends. A reader that does not know one connects anew.
const (
	Shutdown = "shutdown" // the node leaves; others go on
	Reload   = "reload"   // what happened cannot be told as changes: a snapshot is needed
	NotKnown = "stale"    // the node cannot know whether the key still works
)

func (e *Ended) Error() string { return "the stream has ended: " + e.Reason }

// position is an [iam.Position] in JSON.
type position struct {
	Seq   int64     `json:"seq"`
	Chain string    `json:"chain"`
	Time  time.Time `json:"time"`
}

func wirePosition(at iam.Position) position {
	return position{at.Seq, hex.EncodeToString(at.Chain[:]), at.Time.UTC()}
}

func (p position) position() (iam.Position, error) {
	chain, err := ParseChain(p.Chain)
	if err == nil && p.Seq < 0 {
		err = fmt.Errorf("the revision %d is negative", p.Seq)
	}
	return iam.Position{Seq: p.Seq, Chain: chain, Time: p.Time.UTC()}, err
}

// FormatChain returns a chain in hexadecimal.
func FormatChain(chain iam.Chain) string { return hex.EncodeToString(chain[:]) }

// ParseChain reads what [FormatChain] wrote.
func ParseChain(text string) (chain iam.Chain, err error) {
	if len(text) != hex.EncodedLen(len(chain)) {
		return chain, fmt.Errorf("a chain has %d hexadecimal digits", hex.EncodedLen(len(chain)))
	}
	_, err = hex.Decode(chain[:], []byte(text))
	return chain, err
}

// FormatPosition returns a position as a reader sends it to go on from there, without
// its time.
func FormatPosition(at iam.Position) string {
	return strconv.FormatInt(at.Seq, 10) + "." + FormatChain(at.Chain)
}

// ParsePosition reads what [FormatPosition] wrote.
func ParsePosition(text string) (at iam.Position, err error) {
	seq, chain, _ := strings.Cut(text, ".")
	if at.Seq, err = strconv.ParseInt(seq, 10, 64); err != nil || at.Seq < 0 || strconv.FormatInt(at.Seq, 10) != seq {
		return iam.Position{}, errors.New("a position begins with a revision")
	}
	at.Chain, err = ParseChain(chain)
	return at, err
}

// change is an [iam.Change], or a piece of one, in JSON.
type change struct {
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	iam.Change
}

// decode reads JSON strictly: a member that v does not have, and anything after the
// value, is an error.
func decode(payload []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after the JSON value")
	}
	return nil
}
