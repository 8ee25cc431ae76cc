package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/posternhq/postern/internal/iam"
)

// networks is a list of networks, used again for each key.
type networks []netip.Prefix

var errKey = errors.New("relay: a key is cut short, or is too long")

// fields takes a key apart. After the first fault it returns nothing.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) bytes(n uint64) []byte {
	if f.bad || n > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) byte() byte {
	if b := f.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uvarint() uint64 {
	n, size := binary.Uvarint(f.rest)
	f.bytes(uint64(max(size, 0)))
	f.bad = f.bad || size <= 0
	return n
}

func (f *fields) varint() int64 {
	n, size := binary.Varint(f.rest)
	f.bytes(uint64(max(size, 0)))
	f.bad = f.bad || size <= 0
	return n
}

// key reads a key into a sink.
func (r *Reader) key(payload []byte, sink iam.Sink) error {
	f := &fields{rest: payload}
	var id [16]byte
	var rec iam.KeyRecord
	copy(id[:], f.bytes(uint64(len(id))))
	copy(rec.Hash[:], f.bytes(uint64(len(rec.Hash))))
	flags, owner := f.byte(), f.uvarint()
	rec.Name = string(f.bytes(f.uvarint()))
	rec.ID = iam.KeyID(iam.FormatID(iam.KeyPrefix, id))
	rec.Paused, rec.Revoked = flags&keyPaused != 0, flags&keyRevoked != 0
	if flags&keyExpires != 0 {
		rec.Expires = f.varint()
	}
	var err error
	if flags&keyLimited != 0 {
		rec.Limit, err = r.limit(f.bytes(f.uvarint()))
	}
	if flags&keyConfined != 0 && err == nil {
		rec.Networks, err = r.readNetworks(f)
	}
	switch {
	case f.bad || len(f.rest) > 0:
		return errKey
	case flags >= keyUnknown:
		return fmt.Errorf("relay: a key has marks that this program does not know: %#x", flags)
	case owner >= uint64(len(r.principals)):
		return errors.New("relay: a key comes before its principal")
	case err != nil:
		return fmt.Errorf("relay: read a key: %w", err)
	}
	rec.Principal = r.principals[owner]
	return sink.Key(rec)
}

// limit reads a set of permissions.
func (r *Reader) limit(text []byte) (*iam.Permissions, error) {
	if ps, known := r.limits[string(text)]; known {
		return ps, nil
	}
	ps := new(iam.Permissions)
	if err := decode(text, ps); err != nil {
		return nil, err
	}
	const longest = 4 << 10 // bytes that are kept
	if len(text) > longest {
		return ps, nil
	}
	if len(r.limits) >= mostTexts {
		clear(r.limits)
	}
	r.limits[string(text)] = ps
	return ps, nil
}

func (r *Reader) readNetworks(f *fields) ([]netip.Prefix, error) {
	r.networks = r.networks[:0]
	if r.networks == nil {
		r.networks = networks{} // none is not the same as anywhere
	}
	for n := f.uvarint(); n > 0 && !f.bad; n-- {
		var net netip.Prefix
		if err := net.UnmarshalBinary(f.bytes(uint64(f.byte()))); err != nil {
			return nil, err
		}
		r.networks = append(r.networks, net)
	}
	return r.networks, nil
}
