// Package bearer is what doors have to do with those who hold keys: it takes the
// key out of a request, tells where that came from, and words what a holder is told
// whose key does not do.
package bearer

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/posternhq/postern/internal/token"
)

// Why a request brings no key. A credential that has not the form of a key is
// [token.ErrMalformed].
var (
	ErrNone    = errors.New("there is no key, as Authorization: Bearer or X-API-Key")
	ErrSeveral = errors.New("send one credential, once")
)

// Key hashes the key of a request, of the values that it has for the two headers
// that may bring one. Of several credentials it takes none, for somebody else on the
// way may have taken another.
func Key(prefixes token.Prefixes, authorization, apiKey []string) (token.Hash, error) {
	switch len(authorization) + len(apiKey) {
	case 0:
		return token.Hash{}, ErrNone
	case 1:
	default:
		return token.Hash{}, ErrSeveral
	}
	text := ""
	if len(apiKey) == 1 {
		text = apiKey[0]
	} else {
		scheme, rest, _ := strings.Cut(authorization[0], " ")
		if !token.EqualASCII(scheme, "bearer") {
			return token.Hash{}, ErrNone
		}
		text = rest
	}
	if strings.ContainsAny(text, ", ") {
		return token.Hash{}, ErrSeveral // of one header that was there twice, somebody makes one
	}
	return prefixes.Parse(text)
}

// PeerAddress returns the address that a connection came from, of an address and a
// port. It is invalid where there is none, such as on a Unix socket.
func PeerAddress(remote string) netip.Addr {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return plain(addr.Addr())
}

// LastAddress returns the last address of a list such as X-Forwarded-For: the one
// that the nearest proxy itself added. It is invalid when that is none.
func LastAddress(forwarded []string) netip.Addr {
	if len(forwarded) == 0 {
		return netip.Addr{}
	}
	last := forwarded[len(forwarded)-1]
	return Address(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
}

// Address returns the address that a text is, or an invalid one.
func Address(text string) netip.Addr {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return plain(addr)
}

// plain returns an address as it is compared: an IPv4 address that is written as an
// IPv6 one (RFC 4291, 2.5.5.2) is the IPv4 address, and zones are of this machine.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
