package alerts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/wneessen/go-mail"
)

// smtp sends mail.
type smtp struct {
	Output
	text text
}

func (s *smtp) send(ctx context.Context, a *Alert) error {
	m := mail.NewMsg()
	if err := errors.Join(m.From(s.From), m.To(s.To...)); err != nil {
		return fmt.Errorf("mail: %w: %w", err, errRefused)
	}
	m.Subject(cut("[minewarden] "+a.Text, 200))
	m.SetMessageIDWithValue(a.ID + "@minewarden")
	m.SetDateWithValue(a.Time)
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader("X-Minewarden-Kind", a.Kind)
	m.SetGenHeader("X-Minewarden-Severity", a.Severity.String())
	if a.Incident != nil { // mail programs show what belongs to one incident together
		m.SetGenHeader("References", "<"+a.Incident.ID+"@minewarden>")
	}
	m.SetBodyString(mail.TypeTextPlain, s.text.of(a))
	c, err := s.client()
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	if err := c.DialAndSendWithContext(ctx, m); err != nil {
		var sent *mail.SendError
		if errors.As(err, &sent) && !sent.IsTemp() {
			return fmt.Errorf("mail: %w: %w", err, errRefused)
		}
		return fmt.Errorf("mail: %w", err)
	}
	return nil
}

func (s *smtp) client() (*mail.Client, error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := s.TLS.client()
	if err != nil {
		return nil, err
	}
	if tlsConfig.ServerName == "" {
		tlsConfig.ServerName = host
	}
	options := []mail.Option{mail.WithPort(n), mail.WithTimeout(sendWait), mail.WithTLSConfig(tlsConfig)}
	switch s.Protocol {
	case "plain":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case "tls":
		options = append(options, mail.WithSSL())
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.User != "" {
		password, err := secret(s.PasswordFile)
		if err != nil {
			return nil, err
		}
		options = append(options, mail.WithUsername(s.User), mail.WithPassword(password), mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover))
	}
	return mail.NewClient(host, options...)
}
