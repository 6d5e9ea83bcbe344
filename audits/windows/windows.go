// Package windows checks exported policy of Windows hosts: user rights, audit policy, application control.
package windows

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
)

//go:embed README.md
var doc string

const (
	ruleDrivers = "windows/load-drivers"
	ruleDebug   = "windows/debug-programs"
	rule4688    = "windows/audit-process-creation"
	rule4697    = "windows/audit-service-installation"
	rule5145    = "windows/audit-file-share"
	ruleControl = "windows/application-control"
)

const (
	administrators = "S-1-5-32-544"
)

func rules() []minewarden.Rule {
	r := func(id, title, advice string, s minewarden.Severity, technique, why string, refs ...string) minewarden.Rule {
		return minewarden.Rule{ID: id, Title: title, Advice: advice, Severity: s, Technique: []string{technique}, Why: why, References: refs}
	}
	return []minewarden.Rule{
		r(ruleDrivers, "others than administrators may load drivers", "give SeLoadDriverPrivilege to Administrators alone", minewarden.High, "T1068",
			"XMRig loads WinRing0 to speed RandomX up, and a driver is the way past every protection.", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(ruleDebug, "others than administrators may debug programs", "give SeDebugPrivilege to Administrators alone", minewarden.High, "T1003.001",
			"It reads the memory of lsass, and with it every password that Blue Mockingbird moves on with.", "ATT&CK M1026", "D3FEND D3-UAP"),
		r(rule4688, "process creation (4688) is not audited", "auditpol /set /subcategory:{0CCE922B-69AE-11D9-BED3-505054503030} /success:enable", minewarden.Medium, "T1562.002",
			"Without it no log tells what started the miner.", "ATT&CK M1047", "D3FEND D3-PLA"),
		r(rule4697, "the installation of services (4697) is not audited", "auditpol /set /subcategory:{0CCE9211-69AE-11D9-BED3-505054503030} /success:enable", minewarden.Medium, "T1543.003",
			"Miners come back as services.", "ATT&CK M1047", "D3FEND D3-SDA"),
		r(rule5145, "access to shared files (5145) is not audited", "auditpol /set /subcategory:{0CCE9244-69AE-11D9-BED3-505054503030} /success:enable /failure:enable", minewarden.Low, "T1021.002",
			"Lucifer and Blue Mockingbird spread through shares.", "ATT&CK M1047", "D3FEND D3-RAPA"),
		r(ruleControl, "no application control policy is there", "deploy a WDAC or AppLocker policy, first in audit mode", minewarden.Medium, "T1204.002",
			"Everything that lands on the disk may run.", "ATT&CK M1038", "D3FEND D3-EAL"),
	}
}

type auditor struct {
	now   func() time.Time
	rules []minewarden.Rule
}

var _ minewarden.FileAuditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	return &auditor{now: env.Now, rules: rules()}, nil
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "windows", Title: "exported policy of Windows hosts", Doc: doc}
}

func (a *auditor) Rules() []minewarden.Rule { return a.rules }

// Claims takes what secedit /export, auditpol /backup and auditpol /get /r write.
func (a *auditor) Claims(name string, head []byte) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".inf", ".csv", ".txt":
	default:
		return false
	}
	text := decode(head)
	return strings.Contains(text, "[Privilege Rights]") || isAuditCSV(text)
}

func isAuditCSV(text string) bool {
	return strings.Contains(strings.ToUpper(text), "-69AE-11D9-BED3-505054503030}")
}

// decode turns UTF-16, by its byte order mark, and UTF-8 into text.
func decode(b []byte) string {
	var order func([]byte) uint16
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		order = func(p []byte) uint16 { return uint16(p[0]) | uint16(p[1])<<8 }
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		order = func(p []byte) uint16 { return uint16(p[1]) | uint16(p[0])<<8 }
	default:
		return strings.ToValidUTF8(string(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))), "\uFFFD")
	}
	units := make([]uint16, 0, len(b)/2)
	for b = b[2:]; len(b) >= 2; b = b[2:] {
		units = append(units, order(b))
	}
	return string(utf16.Decode(units))
}

func (a *auditor) Audit(_ context.Context, target minewarden.Target) (minewarden.Verdict, error) {
	s := verdict.New("windows", target, a.now, a.rules)
	switch target.Kind {
	case minewarden.TargetFile:
		text := decode(target.Data)
		switch {
		case strings.Contains(text, "[Privilege Rights]"):
			rights(s, target.Path, text)
		case isAuditCSV(text):
			if err := auditPolicy(s, target.Path, text); err != nil {
				return minewarden.Verdict{}, fmt.Errorf("read %s as audit policy: %w", target.Path, err)
			}
		default:
			return minewarden.Verdict{}, nil
		}
	case minewarden.TargetHost:
		if _, err := fs.Stat(target.Root, "Windows/System32"); err != nil {
			return minewarden.Verdict{}, nil
		}
		control(s, target)
		s.Rest(minewarden.StatusUnknown, "rights and audit policy are read from what secedit /export and auditpol /backup write")
	default:
		return minewarden.Verdict{}, nil
	}
	return s.Verdict(), nil
}

func rights(s *verdict.Builder, name, text string) {
	section, line := "", 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "[") {
			section = l
			continue
		}
		key, value, ok := strings.Cut(l, "=")
		if !ok || section != "[Privilege Rights]" {
			continue
		}
		rule := map[string]string{"seloaddriverprivilege": ruleDrivers, "sedebugprivilege": ruleDebug}[strings.ToLower(strings.TrimSpace(key))]
		if rule == "" {
			continue
		}
		var others []string
		for _, who := range strings.Split(value, ",") {
			who = strings.TrimPrefix(strings.TrimSpace(who), "*")
			if who != "" && who != administrators && !strings.EqualFold(who, "Administrators") {
				others = append(others, who)
			}
		}
		if len(others) > 0 {
			want := strings.TrimSpace(key) + " = *" + administrators
			s.Prove(rule, s.File(name, line, 1), fmt.Sprintf("%s is given to %s", strings.TrimSpace(key), strings.Join(others, ", ")),
				&minewarden.Repair{Summary: "only administrators hold the right; apply with secedit /configure", Config: "[Privilege Rights]\n" + want, Format: minewarden.FormatINI}, verdict.Evidence("accounts", strings.Join(others, ", "))...)
		}
	}
	s.Pass(ruleDrivers, "no account but Administrators holds SeLoadDriverPrivilege")
	s.Pass(ruleDebug, "no account but Administrators holds SeDebugPrivilege")
}

// auditPolicy goes by the GUIDs of the subcategories: their names are translated.
func auditPolicy(s *verdict.Builder, name, text string) error {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	value := -1
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		line, _ := r.FieldPos(0)
		for i, f := range rec {
			if strings.EqualFold(strings.TrimSpace(f), "Setting Value") {
				value = i
			}
		}
		if len(rec) < 5 {
			continue
		}
		rule := map[string]string{"{0CCE922B-69AE-11D9-BED3-505054503030}": rule4688, "{0CCE9211-69AE-11D9-BED3-505054503030}": rule4697, "{0CCE9244-69AE-11D9-BED3-505054503030}": rule5145}[strings.ToUpper(strings.TrimSpace(rec[3]))]
		if rule == "" {
			continue
		}
		on, known := setting(rec, value)
		switch {
		case !known:
			s.Unknown(rule, fmt.Sprintf("the setting %q of line %d is not known: export with auditpol /backup", rec[4], line))
		case on:
			s.Pass(rule, fmt.Sprintf("line %d audits success: %s", line, rec[4]))
		default:
			s.Prove(rule, s.File(name, line, 1), fmt.Sprintf("line %d does not audit success: %s", line, rec[4]), nil, verdict.Evidence("setting", rec[4])...)
		}
	}
	s.Rest(minewarden.StatusUnknown, "the file does not speak of it", rule4688, rule4697, rule5145)
	return nil
}

func setting(rec []string, value int) (success, known bool) {
	if value >= 0 && value < len(rec) {
		if n, err := strconv.Atoi(strings.TrimSpace(rec[value])); err == nil {
			return n&1 != 0, true
		}
	}
	switch strings.ToLower(strings.TrimSpace(rec[4])) {
	case "success", "success and failure":
		return true, true
	case "no auditing", "failure":
		return false, true
	}
	return false, false
}

// control looks for a policy on the disk of a host.
func control(s *verdict.Builder, target minewarden.Target) {
	for _, pattern := range []string{"Windows/System32/CodeIntegrity/SiPolicy.p7b", "Windows/System32/CodeIntegrity/CiPolicies/Active/*.cip", "Windows/System32/AppLocker/*.AppLocker"} {
		names, err := fs.Glob(target.Root, pattern)
		if err != nil {
			s.Unknown(ruleControl, err.Error())
			return
		}
		if len(names) > 0 {
			s.Pass(ruleControl, "there is "+names[0])
			return
		}
	}
	s.Prove(ruleControl, minewarden.Subject{Type: minewarden.SubjectHost, ID: target.Name}, "neither a WDAC nor an AppLocker policy is on the disk", nil)
}
