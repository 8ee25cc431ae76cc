// Package sessiontest has an authenticator made of software, for tests of passkeys.
package sessiontest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
)

// Authenticator holds one passkey for one site, as a browser and its authenticator
// together would: ES256, user present and verified, no attestation.
type Authenticator struct {
	Origin string // of the page, such as http://localhost
	RPID   string // such as localhost

	// What no authenticator, and no browser, should do: use the passkey without asking
	// whose finger that is, count its uses anew, or do so in a frame of another site.
	Unverified, Rewound, Framed bool

	id     []byte
	key    *ecdsa.PrivateKey
	handle []byte
	count  uint32
}

// flags of authenticator data (WebAuthn, level 3, 6.1).
const (
	present  = 0x01
	verified = 0x04
	attested = 0x40
)

// Create answers the options of a registration, as toJSON() of the browser's
// PublicKeyCredential does. It makes the passkey the first time, and then shows the
// same one, as no authenticator should.
func (a *Authenticator) Create(options map[string]any) (map[string]any, error) {
	challenge, _ := options["challenge"].(string)
	who, _ := options["user"].(map[string]any)
	handle, _ := who["id"].(string)
	var err error
	if a.handle, err = base64.RawURLEncoding.DecodeString(handle); err != nil {
		return nil, fmt.Errorf("the user's handle: %w", err)
	}
	if a.key == nil {
		if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, err
		}
		a.id = make([]byte, 16)
		_, _ = rand.Read(a.id) // it never fails
	}
	client, err := a.client("webauthn.create", challenge)
	if err != nil {
		return nil, err
	}
	data := a.data(a.asked() | attested)
	data = append(data, make([]byte, 16)...) // no model
	data = binary.BigEndian.AppendUint16(data, uint16(len(a.id)))
	data = append(append(data, a.id...), a.publicKey()...)
	object := []byte{0xa3} // a map of three
	object = append(text(text(object, "fmt"), "none"), 0x67)
	object = append(append(object, "attStmt"...), 0xa0)
	object = octets(text(object, "authData"), data)
	return a.credential(map[string]any{
		"clientDataJSON": b64(client), "attestationObject": b64(object), "transports": []string{"internal"},
	}), nil
}

// Get answers the options of a sign-in.
func (a *Authenticator) Get(options map[string]any) (map[string]any, error) {
	challenge, _ := options["challenge"].(string)
	client, err := a.client("webauthn.get", challenge)
	if err != nil {
		return nil, err
	}
	if a.count++; a.Rewound {
		a.count = 1
	}
	data := a.data(a.asked())
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, sum[:])
	if err != nil {
		return nil, err
	}
	return a.credential(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(a.handle),
	}), nil
}

func (a *Authenticator) credential(response map[string]any) map[string]any {
	return map[string]any{
		"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "authenticatorAttachment": "platform",
		"clientExtensionResults": map[string]any{}, "response": response,
	}
}

func (a *Authenticator) client(kind, challenge string) ([]byte, error) {
	return json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": a.Framed})
}

// asked returns the flags for what its owner was asked.
func (a *Authenticator) asked() byte {
	if a.Unverified {
		return present
	}
	return present | verified
}

// data returns the beginning of authenticator data.
func (a *Authenticator) data(flags byte) []byte {
	site := sha256.Sum256([]byte(a.RPID))
	return binary.BigEndian.AppendUint32(append(site[:], flags), a.count)
}

// publicKey returns the key as COSE writes it (RFC 9053, 7.1.1).
func (a *Authenticator) publicKey() []byte {
	const width = 32
	coordinate := func(n *big.Int) []byte { return n.FillBytes(make([]byte, width)) }
	point, _ := a.key.PublicKey.Bytes() // of a curve that is known
	x, y := new(big.Int).SetBytes(point[1:1+width]), new(big.Int).SetBytes(point[1+width:])
	out := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21} // EC2, ES256, P-256
	out = octets(out, coordinate(x))
	return octets(append(out, 0x22), coordinate(y))
}

// text appends a text as CBOR writes it, of fewer than 24 bytes.
func text(dst []byte, s string) []byte { return append(append(dst, 0x60|byte(len(s))), s...) }

// octets appends bytes as CBOR writes them.
func octets(dst, b []byte) []byte {
	if len(b) < 256 {
		dst = append(dst, 0x58, byte(len(b)))
	} else {
		dst = binary.BigEndian.AppendUint16(append(dst, 0x59), uint16(len(b)))
	}
	return append(dst, b...)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
