package relay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/posternhq/postern/internal/iam"
)

// Reader reads a stream: [Reader.Hello] once, [Reader.Snapshot] once unless the
// stream was resumed, then [Reader.Next] until it fails. After an error nothing more
// can be read. What a stream says makes it hold no more memory than what it has sent,
// and at most 256 MiB at once. It is for one goroutine at a time.
type Reader struct {
	r    *bufio.Reader
	skip int          // bytes of the last frame, which are still in r
	long bytes.Buffer // the last frame, when it did not fit into r
	at   iam.Position // where the stream is

	principals []iam.PrincipalID // by number; nil after the snapshot
	limits     map[string]*iam.Permissions
	networks   networks
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, bufferLen)} }

// Hello reads the first frame. from is the position that the stream was asked to go on
// from, zero if none.
func (r *Reader) Hello(from iam.Position) (Hello, error) {
	payload, err := r.expect(kindHello)
	if err != nil {
		return Hello{}, err
	}
	var h Hello
	if err := decode(payload, &h); err != nil {
		return Hello{}, fmt.Errorf("relay: read how the stream begins: %w", err)
	}
	if err := h.check(); err != nil {
		return Hello{}, fmt.Errorf("relay: %w", err)
	}
	if h.Resumed && from.Seq == 0 {
		return Hello{}, errors.New("relay: the stream goes on from where nobody was")
	}
	if h.Resumed {
		r.at = from
	}
	return h, nil
}

// Snapshot reads what comes after the hello of a stream that was not resumed, into a
// sink, which must not keep what it is given beyond the call.
func (r *Reader) Snapshot(sink iam.Sink) (iam.Position, error) {
	r.limits = map[string]*iam.Permissions{}
	for {
		kind, payload, err := r.frame()
		if err != nil {
			return iam.Position{}, err
		}
		switch kind {
		case kindWorkspace:
			err = pass(payload, sink.Workspace)
		case kindRole:
			err = pass(payload, sink.Role)
		case kindPrincipal:
			err = pass(payload, func(rec iam.PrincipalRecord) error {
				r.principals = append(r.principals, rec.ID)
				return sink.Principal(rec)
			})
		case kindKey:
			err = r.key(payload, sink)
		case kindLoaded:
			r.principals, r.limits = nil, nil
			r.at, err = readPosition(payload)
			return r.at, err
		default:
			err = r.unexpected(kind, payload)
		}
		if err != nil {
			return iam.Position{}, err
		}
	}
}

// News is what a stream says after its beginning: changes, all of them and in order,
// that lead to a position from where it was. A sign of life has neither.
type News struct {
	Changes []iam.Change
	At      iam.Position
}

// Next reads what the stream says next. It returns an [*Ended] when it says why it
// ends.
func (r *Reader) Next() (News, error) {
	var told []iam.Change
	size := 0
	for {
		kind, payload, err := r.frame()
		if err != nil {
			return News{}, err
		}
		switch size += len(payload); {
		case size > mostBatch:
			return News{}, fmt.Errorf("relay: changes of more than %d bytes are to be applied together", mostBatch)
		case kind == kindChange:
			if told, err = r.change(told, payload); err != nil {
				return News{}, err
			}
		case kind == kindTo:
			return r.to(told, payload)
		case kind == kindBeat && len(told) == 0 && len(payload) == 0:
			return News{}, nil
		default:
			return News{}, r.unexpected(kind, payload)
		}
	}
}

// change adds a change to those that were told, or a piece to the last of them.
func (r *Reader) change(told []iam.Change, payload []byte) ([]iam.Change, error) {
	var c change
	if err := decode(payload, &c); err != nil {
		return nil, fmt.Errorf("relay: read a change: %w", err)
	}
	c.Change.Seq, c.Change.Time = c.Seq, c.Time.UTC()
	after := r.at.Seq
	if len(told) > 0 {
		after = told[len(told)-1].Seq
	}
	switch {
	case c.Reader < 1 || c.Reader > iam.ReaderVersion:
		return nil, fmt.Errorf("relay: change %d needs reader version %d, this program has %d", c.Seq, c.Reader, iam.ReaderVersion)
	case len(told) > 0 && c.Seq == after:
		last := &told[len(told)-1]
		last.Reader = max(last.Reader, c.Reader)
		last.Workspaces = append(last.Workspaces, c.Workspaces...)
		last.Roles = append(last.Roles, c.Roles...)
		last.Principals = append(last.Principals, c.Principals...)
		last.Keys = append(last.Keys, c.Keys...)
		return told, nil
	case c.Seq <= after:
		return nil, fmt.Errorf("relay: change %d came after %d", c.Seq, after)
	}
	return append(told, c.Change), nil
}

// to ends a batch: what was not told in it are changes that say nothing to the reader.
func (r *Reader) to(told []iam.Change, payload []byte) (News, error) {
	at, err := readPosition(payload)
	if err != nil {
		return News{}, err
	}
	most := r.at.Seq
	if len(told) > 0 {
		most = told[len(told)-1].Seq
	}
	if at.Seq <= r.at.Seq || at.Seq < most || at.Seq-r.at.Seq > MostChanges {
		return News{}, fmt.Errorf("relay: changes up to %d were said to lead from %d to %d", most, r.at.Seq, at.Seq)
	}
	all := make([]iam.Change, 0, at.Seq-r.at.Seq)
	for seq := r.at.Seq + 1; seq <= at.Seq; seq++ {
		if len(told) > 0 && told[0].Seq == seq {
			all, told = append(all, told[0]), told[1:]
			continue
		}
		silent := iam.Change{Seq: seq, Time: at.Time}
		silent.Reader = silent.LowestReader()
		all = append(all, silent)
	}
	r.at = at
	return News{all, at}, nil
}

func readPosition(payload []byte) (iam.Position, error) {
	var p position
	if err := decode(payload, &p); err != nil {
		return iam.Position{}, fmt.Errorf("relay: read a position: %w", err)
	}
	at, err := p.position()
	if err != nil {
		return iam.Position{}, fmt.Errorf("relay: read a position: %w", err)
	}
	return at, nil
}

func pass[T any](payload []byte, to func(T) error) error {
	var rec T
	if err := decode(payload, &rec); err != nil {
		return fmt.Errorf("relay: read a record: %w", err)
	}
	return to(rec)
}

// expect reads a frame of one kind.
func (r *Reader) expect(want byte) ([]byte, error) {
	kind, payload, err := r.frame()
	if err == nil && kind != want {
		err = r.unexpected(kind, payload)
	}
	return payload, err
}

// unexpected returns the error of a frame that does not belong here. An end may be
// anywhere.
func (r *Reader) unexpected(kind byte, payload []byte) error {
	if kind != kindEnd {
		return fmt.Errorf("relay: a frame of the kind %q does not belong here", kind)
	}
	end := new(Ended)
	if err := decode(payload, end); err != nil {
		return fmt.Errorf("relay: read why the stream ends: %w", err)
	}
	return end
}

// frame reads the next frame. Its payload is there until the next call.
func (r *Reader) frame() (kind byte, payload []byte, err error) {
	_, _ = r.r.Discard(r.skip) // it is in the buffer
	r.skip = 0
	length, err := binary.ReadUvarint(r.r)
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("relay: read a frame: %w", whole(err))
	case length == 0 || length > mostFrame:
		return 0, nil, fmt.Errorf("relay: a frame of %d bytes", length)
	}
	text, err := r.text(int(length))
	if err != nil {
		return 0, nil, fmt.Errorf("relay: read a frame: %w", whole(err))
	}
	return text[0], text[1:], nil
}

// text returns the next bytes. Of many, it holds those that have come.
func (r *Reader) text(length int) ([]byte, error) {
	if length <= bufferLen {
		r.skip = length
		return r.r.Peek(length)
	}
	r.long.Reset()
	if _, err := io.CopyN(&r.long, r.r, int64(length)); err != nil {
		return nil, err
	}
	return r.long.Bytes(), nil
}

// whole says of an end that it is none: a stream says when it is over.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
