package alerts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/gosnmp/gosnmp"
)

// snmp sends traps; packaging/snmp has the MIB. The enterprise number is the one that RFC 5612 sets aside for documentation,
// 32473, until the project has its own.
type snmp struct {
	Output
	text text
}

const (
	mib       = ".1.3.6.1.4.1.32473.1"
	trapOID   = ".1.3.6.1.6.3.1.1.4.1.0"
	maxOctets = 255 // of a value: an SnmpAdminString
)

// traps are the notifications of the MIB, by kind.
var traps = map[string]int{Opened: 1, Worse: 2, Contained: 3, Reopened: 4, Closed: 5, Done: 6, Failed: 7, Undone: 8, Deadline: 9, Health: 10, Test: 11}

func (s *snmp) send(ctx context.Context, a *Alert) error {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("snmp: port %q: %w", port, err)
	}
	g := &gosnmp.GoSNMP{Target: host, Port: uint16(n), Transport: "udp", Timeout: 5 * time.Second, Context: ctx, MaxOids: 60}
	if err := s.secure(g); err != nil {
		return err
	}
	if err := g.Connect(); err != nil {
		return fmt.Errorf("snmp: %w", err)
	}
	defer g.Conn.Close()
	text := func(leaf int, v string) gosnmp.SnmpPDU {
		return gosnmp.SnmpPDU{Name: fmt.Sprintf("%s.2.%d.0", mib, leaf), Type: gosnmp.OctetString, Value: cut(line("%s", v), maxOctets)}
	}
	vars := []gosnmp.SnmpPDU{
		{Name: trapOID, Type: gosnmp.ObjectIdentifier, Value: fmt.Sprintf("%s.0.%d", mib, traps[a.Kind])},
		text(1, a.ID), text(2, a.Kind),
		{Name: mib + ".2.3.0", Type: gosnmp.Integer, Value: int(a.Severity)},
		text(4, a.Host), text(5, a.Text),
	}
	if a.Incident != nil {
		vars = append(vars, text(6, a.Incident.ID), text(7, string(a.Incident.State)), text(8, a.Incident.Subject.ID))
	}
	if a.Finding != nil {
		vars = append(vars, text(9, a.Finding.Rule))
	}
	if _, err := g.SendTrap(gosnmp.SnmpTrap{Variables: vars}); err != nil {
		return fmt.Errorf("snmp: %w", err)
	}
	return nil // nobody answers a trap: that it left this host is all one knows
}

func (s *snmp) secure(g *gosnmp.GoSNMP) error {
	if s.Version == "2c" {
		community, err := secret(s.CommunityFile)
		g.Version, g.Community = gosnmp.Version2c, community
		return err
	}
	auth, err := secret(s.AuthPasswordFile)
	if err != nil {
		return err
	}
	privacy, err := secret(s.PrivacyPasswordFile)
	if err != nil {
		return err
	}
	engine, err := s.engine()
	if err != nil {
		return err
	}
	g.Version, g.SecurityModel, g.MsgFlags = gosnmp.Version3, gosnmp.UserSecurityModel, gosnmp.AuthPriv
	g.SecurityParameters = &gosnmp.UsmSecurityParameters{
		UserName: s.User, AuthoritativeEngineID: engine, AuthoritativeEngineBoots: 1, AuthoritativeEngineTime: uint32(time.Now().Unix() & 0x7fffffff),
		AuthenticationProtocol: gosnmp.SHA256, AuthenticationPassphrase: auth, PrivacyProtocol: gosnmp.AES, PrivacyPassphrase: privacy,
	}
	return nil
}

// engine is the id of this sender, as RFC 3411 makes them: a receiver must know it beside the user.
func (s *snmp) engine() (string, error) {
	if s.Engine != "" {
		b, err := hex.DecodeString(s.Engine)
		if err != nil || len(b) < 5 || len(b) > 32 {
			return "", fmt.Errorf("snmp: engine %q is not 5 to 32 bytes in hex", s.Engine)
		}
		return string(b), nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("snmp: make an engine id: %w", err)
	}
	sum := sha256.Sum256([]byte("minewarden " + host + " " + s.Name))
	return "\x80\x00\x7e\xd9\x05" + string(sum[:8]), nil
}
