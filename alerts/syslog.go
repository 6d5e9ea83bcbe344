package alerts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// syslog sends RFC 5424 messages, over TLS (RFC 5425), TCP (RFC 6587, counted) or UDP (RFC 5426); type cef sends CEF in them.
type syslog struct {
	Output
	text    text
	version string
}

// Sizes of messages: RFC 5425 asks receivers for 2048, most take 8192; UDP is kept below what networks fragment badly.
const (
	maxStream   = 8192
	maxDatagram = 2048
)

func (s *syslog) send(ctx context.Context, a *Alert) error {
	limit := maxStream
	if s.Protocol == "udp" {
		limit = maxDatagram
	}
	message := cut(s.message(a), limit)
	c, err := s.dial(ctx)
	if err != nil {
		return fmt.Errorf("syslog: %w", err)
	}
	if s.Protocol != "udp" {
		message = strconv.Itoa(len(message)) + " " + message
	}
	deadline, _ := ctx.Deadline()
	err = c.SetDeadline(deadline)
	if err == nil {
		_, err = c.Write([]byte(message))
	}
	if err == nil && s.Protocol != "udp" {
		err = finished(c)
	}
	if err = errors.Join(err, ignoreClosed(c.Close())); err != nil {
		return fmt.Errorf("syslog: %w", err)
	}
	return nil
}

// finished says that no more comes, and waits until the receiver closed as well: only then has it read everything. Syslog
// has no answers; a receiver that keeps the connection open has taken it as far as one can know.
func finished(c net.Conn) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	var reset *net.OpError
	if errors.As(err, &reset) && !reset.Timeout() {
		return err
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	var op *net.OpError
	if errors.As(err, &op) { // of an end that closed first
		return nil
	}
	return err
}

func (s *syslog) dial(ctx context.Context) (net.Conn, error) {
	switch s.Protocol {
	case "udp", "tcp":
		return (&net.Dialer{}).DialContext(ctx, s.Protocol, s.Address)
	}
	config, err := s.TLS.client()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", s.Address)
}

// client is the configuration of this end; without a CA file those of the system are trusted.
func (t *TLS) client() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: %s holds no certificate", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("tls: cert_file and key_file belong together")
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// syslogLevel: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.
func syslogLevel(s minewarden.Severity) int { return 6 - int(s) }

// facility 13 is "log audit".
const facility = 13

func (s *syslog) message(a *Alert) string {
	head := fmt.Sprintf("<%d>1 %s %s minewarden %d %s ", facility*8+syslogLevel(a.Severity), a.Time.UTC().Format("2006-01-02T15:04:05.000000Z"),
		headerText(a.Host, 255), os.Getpid(), headerText(a.Kind, 32))
	if s.Type == "cef" {
		return head + "- " + cef(a, s.version)
	}
	data := fmt.Sprintf(`[minewarden@32473 id="%s" severity="%s"`, sdValue(a.ID), sdValue(a.Severity.String()))
	if a.Incident != nil {
		data += fmt.Sprintf(` incident="%s" state="%s" subject="%s" rules="%s"`, sdValue(a.Incident.ID), sdValue(string(a.Incident.State)),
			sdValue(a.Incident.Subject.ID), sdValue(strings.Join(a.Incident.Rules, ",")))
	}
	message := a.Text
	if s.Template != "" {
		message = line("%s", s.text.of(a))
	}
	return head + data + "] \ufeff" + message
}

// headerText has only what a header field may hold.
func headerText(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return cutASCII(s, n)
}

func cutASCII(s string, n int) string { return s[:min(len(s), n)] }

var sdEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

func sdValue(s string) string { return sdEscape.Replace(line("%s", s)) }

var (
	cefHead = strings.NewReplacer(`\`, `\\`, "|", `\|`)
	cefTail = strings.NewReplacer(`\`, `\\`, "=", `\=`)
)

// cef is ArcSight's Common Event Format, version 0: severity 0 to 10.
func cef(a *Alert, version string) string {
	rule, name := a.Kind, a.Text
	if a.Finding != nil {
		rule, name = a.Finding.Rule, a.Finding.Title
	}
	out := fmt.Sprintf("CEF:0|minewarden|minewarden|%s|%s|%s|%d|", cefHead.Replace(line("%s", version)), cefHead.Replace(line("%s", rule)),
		cefHead.Replace(line("%s", name)), min(10, 2*int(a.Severity)+2))
	field := func(k, v string) {
		if v != "" {
			out += k + "=" + cefTail.Replace(line("%s", v)) + " "
		}
	}
	field("rt", strconv.FormatInt(a.Time.UnixMilli(), 10))
	field("dvchost", a.Host)
	field("externalId", a.ID)
	field("act", a.Kind)
	field("msg", a.Text)
	if a.Incident != nil {
		field("cs1Label", "incident")
		field("cs1", a.Incident.ID)
		field("cs2Label", "technique")
		field("cs2", strings.Join(a.Incident.Technique, ","))
		if p := a.Incident.Subject; p.Type == minewarden.SubjectProcess {
			field("sproc", p.Name)
			field("spid", strconv.Itoa(int(p.PID)))
		}
		if host, port, err := net.SplitHostPort(a.Incident.Subject.Server); err == nil {
			field("dst", host)
			field("dpt", port)
		}
	}
	return strings.TrimRight(out, " ")
}
