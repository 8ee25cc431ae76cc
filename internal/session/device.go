package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	devicePurpose = "dev"           // opens the text of a device code
	pollInterval  = 5 * time.Second // RFC 8628, 3.2
	pollSlack     = time.Second     // of networks: who waits as told is not told to slow down
	maxDeviceName = 64              // characters

	// userAlphabet has no vowels, so that no code is a word, and nothing that looks
	// like something else (RFC 8628, 6.1): 8 of them are 34 bits.
	userAlphabet = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLen  = 8
)

var errTooOften = iam.Errorf(iam.SlowDown, "ask less often: wait %d seconds between two calls", pollInterval/time.Second)

// StartDevice begins the authorization of a program without a browser.
func (p *People) StartDevice(ctx context.Context, c iam.Caller, in api.DeviceCodeRequest) (out api.DeviceCode, err error) {
	if utf8.RuneCountInString(in.Name) > maxDeviceName || !utf8.ValidString(in.Name) {
		return out, iam.Invalid("/name", "too_long", "is longer than %d characters", maxDeviceName)
	}
	if token.LooksLikeSecret(in.Name) {
		return out, iam.Invalid("/name", "looks_like_key", "holds what looks like a key, which is kept nowhere")
	}
	secret, err := p.iam.Mint.NewOpaque(devicePurpose)
	if err != nil {
		return out, err
	}
	const tries = 3 // that a code is another's happens once in 10^10 times
	for range tries {
		code, err := newUserCode()
		if err != nil {
			return out, err
		}
		d, err := p.iam.Store.KeepDevice(ctx, iam.Device{Hash: secret.Hash(), UserCode: code, Name: in.Name, Source: c.Source}, iam.DeviceLife)
		if errors.Is(err, iam.NameTaken) {
			continue
		} else if err != nil {
			return out, err
		}
		return api.DeviceCode{
			DeviceCode: secret.Reveal(), UserCode: ShownCode(d.UserCode), VerificationURI: p.url() + "/device",
			ExpiresIn: int64(iam.DeviceLife / time.Second), Interval: int64(pollInterval / time.Second),
		}, nil
	}
	return out, errors.New("session: no user code is free")
}

func newUserCode() (string, error) {
	code := make([]byte, userCodeLen)
	for i := range code {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userAlphabet))))
		if err != nil {
			return "", fmt.Errorf("make a user code: %w", err)
		}
		code[i] = userAlphabet[n.Int64()]
	}
	return string(code), nil
}

// ShownCode returns a user code as people compare it.
func ShownCode(code string) string {
	if len(code) != userCodeLen {
		return code
	}
	return code[:userCodeLen/2] + "-" + code[userCodeLen/2:]
}

// UserCode reads a user code as people type it.
func (p *People) UserCode(typed string) string {
	return strings.Map(func(r rune) rune {
		if r < 'A' || r > 'Z' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
}

// PollDevice answers a program that asks how it stands: with its key, once it was
// approved.
func (p *People) PollDevice(ctx context.Context, c iam.Caller, in api.DeviceTokenRequest) (done iam.Done[iam.DeviceKey], value token.Secret, err error) {
	code := token.NewSecret(in.DeviceCode)
	d, before, now, err := p.iam.Store.PollDevice(ctx, code.Hash())
	switch {
	case errors.Is(err, iam.NotFound):
		return done, value, iam.ErrNoGrant
	case err != nil:
		return done, value, err
	case !before.Equal(d.CreatedAt) && now.Sub(before) < pollInterval-pollSlack:
		return done, value, errTooOften
	}
	if err := d.Usable(now); err != nil {
		return done, value, err
	}
	return p.iam.UseDevice(ctx, c, code)
}
