package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/posternhq/postern/internal/iam"
)

// Writer writes a stream: a hello, a snapshot unless the hello says that there is
// none, then changes and signs of life, and an end. It is the [iam.Sink] of the
// snapshot. What it writes leaves in parts of 64 kB, and at the end of each call that
// is not one of a sink's. It is for one goroutine at a time.
type Writer struct {
	w    *bufio.Writer
	text []byte // of the frame in the making

	principals map[iam.PrincipalID]uint64 // their numbers; nil after the snapshot
	limits     map[grants][]byte          // their texts
}

// grants tells sets of permissions apart by where they are in memory: sets are never
// written again, and those of a replica are kept once.
type grants struct {
	first *iam.Grant
	count int
}

// mostTexts is how many sets of permissions either end keeps as text.
const mostTexts = 4096

// What is true of a key, and what follows.
const (
	keyPaused = 1 << iota
	keyRevoked
	keyExpires
	keyLimited
	keyConfined // to networks
	keyUnknown  // and all that is higher
)

// NewWriter returns a writer to w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, bufferLen), principals: map[iam.PrincipalID]uint64{}, limits: map[grants][]byte{}}
}

// Hello writes the first frame.
func (w *Writer) Hello(h Hello) error {
	h.Reader = Version
	if err := h.check(); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return w.last(kindHello, h)
}

// Workspace implements [iam.Sink].
func (w *Writer) Workspace(rec iam.WorkspaceRecord) error { return w.json(kindWorkspace, rec) }

// Role implements [iam.Sink].
func (w *Writer) Role(rec iam.RoleRecord) error { return w.json(kindRole, rec) }

// Principal implements [iam.Sink].
func (w *Writer) Principal(rec iam.PrincipalRecord) error {
	if w.principals == nil {
		return errors.New("relay: the snapshot is over")
	}
	w.principals[rec.ID] = uint64(len(w.principals))
	return w.json(kindPrincipal, rec)
}

// Key implements [iam.Sink]. The principal comes before its keys.
func (w *Writer) Key(rec iam.KeyRecord) error {
	id, err := iam.ParseID(iam.KeyPrefix, string(rec.ID))
	if err != nil || rec.Session {
		return fmt.Errorf("relay: %q is the id of no key", rec.ID)
	}
	owner, known := w.principals[rec.Principal]
	if !known {
		return fmt.Errorf("relay: key %s comes before its principal", rec.ID)
	}
	b := append(append(w.text[:0], id[:]...), rec.Hash[:]...)
	b = append(b, flagsOf(rec))
	b = binary.AppendUvarint(b, owner)
	b = append(binary.AppendUvarint(b, uint64(len(rec.Name))), rec.Name...)
	if rec.Expires != 0 {
		b = binary.AppendVarint(b, rec.Expires)
	}
	if rec.Limit != nil {
		text, err := w.limitText(*rec.Limit)
		if err != nil {
			return err
		}
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	if rec.Networks != nil {
		b = binary.AppendUvarint(b, uint64(len(rec.Networks)))
		for _, n := range rec.Networks {
			at := len(b)
			if b, err = n.AppendBinary(append(b, 0)); err != nil {
				return fmt.Errorf("relay: a network of key %s: %w", rec.ID, err)
			}
			b[at] = byte(len(b) - at - 1)
		}
	}
	w.text = b
	return w.frame(kindKey, b)
}

func flagsOf(rec iam.KeyRecord) (flags byte) {
	for _, f := range []struct {
		set  bool
		flag byte
	}{
		{rec.Paused, keyPaused},
		{rec.Revoked, keyRevoked},
		{rec.Expires != 0, keyExpires},
		{rec.Limit != nil, keyLimited},
		{rec.Networks != nil, keyConfined},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

// limitText returns a set of permissions as JSON.
func (w *Writer) limitText(ps iam.Permissions) ([]byte, error) {
	var at grants
	if all := ps.Grants(); len(all) > 0 {
		at = grants{&all[0], len(all)}
	}
	if text, known := w.limits[at]; known {
		return text, nil
	}
	text, err := json.Marshal(ps)
	if err != nil {
		return nil, fmt.Errorf("relay: encode a limit: %w", err)
	}
	if len(w.limits) >= mostTexts {
		clear(w.limits)
	}
	w.limits[at] = text
	return text, nil
}

// Loaded ends the snapshot, which was as of a position.
func (w *Writer) Loaded(at iam.Position) error {
	w.principals, w.limits = nil, nil
	return w.last(kindLoaded, wirePosition(at))
}

// Changes writes what leads to a position from where the stream was, and is to be
// applied at once. Changes without records need not be told: the reader counts. It
// fails with [ErrTooMany], and has written nothing, when they are more than
// [MostChanges].
func (w *Writer) Changes(changes []iam.Change, at iam.Position) error {
	if len(changes) > MostChanges {
		return ErrTooMany
	}
	for _, c := range changes {
		for piece := range pieces(c) {
			if err := w.json(kindChange, piece); err != nil {
				return err
			}
		}
	}
	return w.last(kindTo, wirePosition(at))
}

// ChangesText returns what [Writer.Changes] writes, which is the same on each stream.
func ChangesText(changes []iam.Change, at iam.Position) ([]byte, error) {
	var text bytes.Buffer
	w := Writer{w: bufio.NewWriter(&text)}
	if err := w.Changes(changes, at); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// pieces yields a change in parts that fit into a frame each.
func pieces(c iam.Change) func(yield func(change) bool) {
	return func(yield func(change) bool) {
		for len(c.Workspaces)+len(c.Roles)+len(c.Principals)+len(c.Keys) > 0 {
			part := change{Seq: c.Seq, Time: c.Time.UTC()}
			part.Reader = c.LowestReader()
			room := pieceLen
			part.Workspaces = take(&c.Workspaces, &room)
			part.Roles = take(&c.Roles, &room)
			part.Principals = take(&c.Principals, &room)
			part.Keys = take(&c.Keys, &room)
			if !yield(part) {
				return
			}
		}
	}
}

// take removes records from the beginning of a list, as many as there is room for.
func take[T any](from *[]T, room *int) []T {
	n := min(*room, len(*from))
	if n == 0 {
		return nil
	}
	taken := (*from)[:n]
	*from, *room = (*from)[n:], *room-n
	return taken
}

// Beat writes a sign of life.
func (w *Writer) Beat() error {
	if err := w.frame(kindBeat, nil); err != nil {
		return err
	}
	return w.w.Flush()
}

// End writes the last frame.
func (w *Writer) End(reason string) error { return w.last(kindEnd, Ended{reason}) }

// last writes the last frame of a part.
func (w *Writer) last(kind byte, v any) error {
	if err := w.json(kind, v); err != nil {
		return err
	}
	return w.w.Flush()
}

func (w *Writer) json(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("relay: encode a frame %c: %w", kind, err)
	}
	return w.frame(kind, text)
}

func (w *Writer) frame(kind byte, payload []byte) error {
	if len(payload)+1 > mostFrame {
		return fmt.Errorf("relay: a frame %c has %d bytes", kind, len(payload))
	}
	var head [binary.MaxVarintLen64 + 1]byte
	n := binary.PutUvarint(head[:], uint64(len(payload)+1))
	head[n] = kind
	if _, err := w.w.Write(head[:n+1]); err != nil {
		return err
	}
	_, err := w.w.Write(payload)
	return err
}
