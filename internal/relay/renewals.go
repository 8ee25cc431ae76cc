package relay

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// RenewalsType is the media type of both ways of a call over which a verifier renews.
const RenewalsType = "application/vnd.postern.renewals"

// The kinds of frames of such a call.
const (
	kindAck     = 'A' // it acknowledges, and wants no answer
	kindPing    = 'Q' // it acknowledges, and asks
	kindGrant   = 'G'
	kindRefusal = 'N'
)

const mostRenewal = 4 << 10 // bytes of one frame

// Renewals is one end of a call that stays open for as long as a verifier follows: it
// acknowledges and asks in frames of the request's body, and each question is answered in
// a frame of the response's, in the order in which they were asked. Frames are those of a
// stream; what is in them is binary, but for refusals, which are problems as the API has
// them, in JSON.
//
// One goroutine at a time may read, and one may write.
type Renewals struct {
	r    *bufio.Reader
	w    io.Writer
	text []byte // of the frame that is written
}

// NewRenewals returns an end that reads what the other wrote from r, and writes to w.
// Each frame is one write.
func NewRenewals(r io.Reader, w io.Writer) *Renewals {
	return &Renewals{r: bufio.NewReaderSize(r, mostRenewal), w: w}
}

// Ask writes a question.
func (o *Renewals) Ask(p replica.Ping) error {
	return o.write(kindPing, func(b []byte) []byte {
		b = appendPlace(binary.AppendVarint(b, p.N), p.At)
		return binary.AppendVarint(b, int64(p.Wanted))
	})
}

// Acknowledge writes what a verifier answers from, or from later.
func (o *Renewals) Acknowledge(at iam.Position) error {
	return o.write(kindAck, func(b []byte) []byte { return appendPlace(b, at) })
}

// Question reads what a verifier says: a question, or only what it acknowledges, which
// is in the ping's position then.
func (o *Renewals) Question() (p replica.Ping, asks bool, err error) {
	kind, payload, err := o.read()
	if err != nil {
		return p, false, err
	}
	f := &fields{rest: payload}
	switch kind {
	case kindAck:
		p.At = f.place()
	case kindPing:
		p.N, p.At, p.Wanted = f.varint(), f.place(), time.Duration(f.varint())
	default:
		return p, false, errRenewal
	}
	if f.bad || len(f.rest) > 0 || p.At.Seq < 0 {
		return replica.Ping{}, false, errRenewal
	}
	return p, kind == kindPing, nil
}

// Grant answers a question.
func (o *Renewals) Grant(g replica.Grant) error {
	return o.write(kindGrant, func(b []byte) []byte {
		b = appendPlace(binary.AppendVarint(b, g.N), g.At)
		return binary.AppendVarint(binary.AppendVarint(b, int64(g.For)), g.Time.UnixNano())
	})
}

// Refuse answers a question that there is no grant for.
func (o *Renewals) Refuse(why api.Problem) error {
	text, err := json.Marshal(why)
	if err != nil {
		return fmt.Errorf("relay: encode a refusal: %w", err)
	}
	return o.write(kindRefusal, func(b []byte) []byte { return append(b, text...) })
}

// Answer reads the answer to a question. Of a refusal the error is the [*api.Problem].
func (o *Renewals) Answer() (replica.Grant, error) {
	kind, payload, err := o.read()
	if err != nil {
		return replica.Grant{}, err
	}
	if kind == kindRefusal {
		why := new(api.Problem)
		if err := json.Unmarshal(payload, why); err != nil || why.Code == "" || why.Status == 0 {
			return replica.Grant{}, errRenewal
		}
		return replica.Grant{}, why
	}
	f := &fields{rest: payload}
	g := replica.Grant{N: f.varint(), At: f.place(), For: time.Duration(f.varint()), Time: time.Unix(0, f.varint()).UTC()}
	if kind != kindGrant || f.bad || len(f.rest) > 0 || g.At.Seq < 0 {
		return replica.Grant{}, errRenewal
	}
	return g, nil
}

var errRenewal = errors.New("relay: a renewal or its answer is not one that this program knows")

// appendPlace writes a position without its time.
func appendPlace(b []byte, at iam.Position) []byte {
	return append(binary.AppendVarint(b, at.Seq), at.Chain[:]...)
}

func (f *fields) place() (at iam.Position) {
	at.Seq = f.varint()
	copy(at.Chain[:], f.bytes(uint64(len(at.Chain))))
	return at
}

func (o *Renewals) write(kind byte, payload func([]byte) []byte) error {
	const head = 2 // bytes of a length below 2¹⁴
	o.text = payload(append(o.text[:0], 0, 0, kind))
	length := len(o.text) - head
	if length > mostRenewal {
		return fmt.Errorf("relay: a frame %c has %d bytes", kind, length)
	}
	o.text[0], o.text[1] = byte(length)|0x80, byte(length>>7) // a varint of two bytes, also where one would do
	_, err := o.w.Write(o.text)
	return err
}

// read reads a frame. Its payload is there until the next call.
func (o *Renewals) read() (kind byte, payload []byte, err error) {
	length, err := binary.ReadUvarint(o.r)
	if err != nil {
		return 0, nil, err
	}
	if length == 0 || length > mostRenewal {
		return 0, nil, fmt.Errorf("relay: a frame of %d bytes", length)
	}
	text, err := o.r.Peek(int(length))
	if err != nil {
		return 0, nil, whole(err)
	}
	_, _ = o.r.Discard(len(text)) // it is in the buffer
	return text[0], text[1:], nil
}
