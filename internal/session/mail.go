package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// mailTimeout is how long a mail may take to be handed over: who invites waits for it,
// and can copy the link all the same.
const mailTimeout = 10 * time.Second

// Mail says through which server invitations are sent (RFC 5321).
type Mail struct {
	Address  string // host and port
	From     string
	Username string // empty: nobody signs in there
	Password token.Secret
	TLS      string // tls from the beginning, starttls, or none, which is for this machine
}

// InvitationLink returns where an invitation is accepted. Its secret is in the
// fragment, which browsers keep to themselves.
func (p *People) InvitationLink(secret token.Secret) string {
	return p.url() + "/invite#" + secret.Reveal()
}

// MailInvitation sends an invitation to the address that it is for. It reports false
// when no server for mail is known.
func (p *People) MailInvitation(ctx context.Context, in iam.Invitation, workspace string, secret token.Secret) (sent bool, err error) {
	if p.mail == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(p.mail.From), msg.To(in.Email)); err != nil {
		return false, fmt.Errorf("address an invitation: %w", err)
	}
	msg.Subject("Invitation to " + line(workspace))
	msg.SetBodyString(mail.TypeTextPlain, fmt.Sprintf(
		"%s invites you to %s on Postern, with the role %s.\n\nTo accept, open this link. It works once, until %s:\n\n%s\n\n"+
			"If you did not expect this, do nothing.\n",
		line(in.InvitedBy.Name), line(workspace), line(in.Role.Name), in.ExpiresAt.UTC().Format("2 January 2006, 15:04 MST"), p.InvitationLink(secret)))
	client, err := p.mail.client()
	if err != nil {
		return false, fmt.Errorf("prepare to send mail: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return false, fmt.Errorf("send an invitation through %s: %w", p.mail.Address, err)
	}
	return true, nil
}

// line returns a text as it may stand on one line of a mail. Names were checked when
// they were given; mail is no place to find out that one was not.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func (m Mail) client() (*mail.Client, error) {
	host, port, err := net.SplitHostPort(m.Address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("the port of %s is no number", m.Address)
	}
	options := []mail.Option{mail.WithPort(number), mail.WithTimeout(mailTimeout)}
	switch m.TLS {
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername(m.Username), mail.WithPassword(m.Password.Reveal()))
	}
	return mail.NewClient(host, options...)
}
