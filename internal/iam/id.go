package iam

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"
)

// IDs are a prefix and 26 characters, one type for each noun, so that the
// compiler refuses a key where an account is meant. They sort by time and are
// never used again.
type (
	WorkspaceID  string // ws_
	PersonID     string // usr_
	PrincipalID  string // mem_ or sa_
	RoleID       string // role_
	KeyID        string // key_
	InvitationID string // inv_
	EventID      string // evt_
	ReceiptID    string // rcp_
	RotationID   string // rot_
)

// The prefixes of ids.
const (
	WorkspacePrefix      = "ws_"
	PersonPrefix         = "usr_"
	MemberPrefix         = "mem_"
	ServiceAccountPrefix = "sa_"
	RolePrefix           = "role_"
	KeyPrefix            = "key_"
	InvitationPrefix     = "inv_"
	EventPrefix          = "evt_"
	ReceiptPrefix        = "rcp_"
	RotationPrefix       = "rot_"
	RequestPrefix        = "req_"
)

// NewID returns a fresh id: prefix, then a UUIDv7 (RFC 9562, section 5.7) of
// time now in the base 32 of Crockford, lower case, as TypeID 0.3 writes it.
func NewID(prefix string, now time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(id[6:]) // never fails: crypto/rand ends the process instead
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return FormatID(prefix, id)
}

// FirstID returns a text that no id that was made at a time or later is less than.
func FirstID(prefix string, at time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16)
	return FormatID(prefix, id)
}

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// idLen is the length of an id without its prefix: 128 bits in fives, rounded up.
const idLen = 26

// FormatID returns the text of an id. It is the inverse of [ParseID].
func FormatID(prefix string, id [16]byte) string {
	var buf [len(InvitationPrefix) + 1 + idLen]byte
	return string(AppendID(buf[:0], prefix, id))
}

// AppendID appends the text of an id to dst.
func AppendID(dst []byte, prefix string, id [16]byte) []byte {
	dst = append(dst, prefix...)
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for shift := 5 * (idLen - 1); shift >= 0; shift -= 5 {
		var digit uint64
		switch {
		case shift >= 64:
			digit = hi >> (shift - 64)
		case shift > 59: // the digit lies across both halves
			digit = lo>>shift | hi<<(64-shift)
		default:
			digit = lo >> shift
		}
		dst = append(dst, crockford[digit&31])
	}
	return dst
}

var errNotID = errors.New("not an id")

// ParseID reads the text of an id with the given prefix. It accepts one spelling.
func ParseID(prefix, text string) (id [16]byte, err error) {
	if len(text) != len(prefix)+idLen || text[:len(prefix)] != prefix || text[len(prefix)] > '7' {
		return id, errNotID
	}
	var hi, lo uint64
	for i := len(prefix); i < len(text); i++ {
		digit := crockfordDigit(text[i])
		if digit < 0 {
			return id, errNotID
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(digit)
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}

func crockfordDigit(c byte) int {
	for i := range len(crockford) {
		if crockford[i] == c {
			return i
		}
	}
	return -1
}

// looksLikeID reports whether a text has the shape of an id's beginning, which
// no name may have: 2 to 4 lower-case letters and an underscore.
func looksLikeID(s string) bool {
	for i := range len(s) {
		if s[i] == '_' {
			return i >= 2 && i <= 4
		}
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return false
}
