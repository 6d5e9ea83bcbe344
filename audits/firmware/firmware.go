// Package firmware checks what runs before the kernel: Secure Boot, the age of the firmware, and whether the boot was measured.
package firmware

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/verdict"
)

//go:embed README.md
var doc string

const (
	ruleSecureBoot = "firmware/secure-boot-off"
	ruleAge        = "firmware/bios-old"
	ruleMeasured   = "firmware/boot-not-measured"
)

// maxAge is how old firmware may be: vendors repair servers' firmware for about five years, and publish twice a year.
const maxAge = 3 * 365 * 24 * time.Hour

func rules() []minewarden.Rule {
	return []minewarden.Rule{
		{
			ID: ruleSecureBoot, Title: "the firmware starts unsigned code", Advice: "enable Secure Boot in the firmware's setup", Severity: minewarden.Medium, Technique: []string{"T1542.003"},
			Why: "A boot kit outlives every repair of the system above it.", References: []string{"ATT&CK M1046", "D3FEND D3-BA", "NIST SP 800-147"},
		},
		{
			ID: ruleAge, Title: "the firmware is old", Advice: "install the vendor's current firmware", Severity: minewarden.Low, Technique: []string{"T1542.001"},
			Why: "Known holes of firmware and microcode stay open.", References: []string{"ATT&CK M1051", "D3FEND D3-FV"},
		},
		{
			ID: ruleMeasured, Title: "the boot was not measured by a TPM", Advice: "enable the TPM in the firmware's setup", Severity: minewarden.Low, Technique: []string{"T1542"},
			Why: "Without measurements nobody can prove afterwards what was started.", References: []string{"ATT&CK M1046", "D3FEND D3-TBI"},
		},
	}
}

type auditor struct {
	now   func() time.Time
	rules []minewarden.Rule
}

var _ minewarden.Auditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	now := env.Now
	if now == nil {
		now = time.Now
	}
	return &auditor{now: now, rules: rules()}, nil
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "firmware", Title: "Secure Boot, firmware age, measured boot", Doc: doc}
}

func (a *auditor) Rules() []minewarden.Rule { return a.rules }

func (a *auditor) Audit(_ context.Context, target minewarden.Target) (minewarden.Verdict, error) {
	if target.Kind != minewarden.TargetHost {
		return minewarden.Verdict{}, nil
	}
	s := verdict.New("firmware", target, a.now, a.rules)
	host := minewarden.Subject{Type: minewarden.SubjectHost, ID: target.Name}
	if _, err := fs.Stat(target.Root, "sys/firmware"); err != nil {
		s.Rest(minewarden.StatusUnknown, "there is no /sys/firmware to read: the host does not run, or hides it")
		return s.Verdict(), nil
	}
	a.secureBoot(s, target.Root, host)
	a.bios(s, target.Root, host)
	measured(s, target.Root, host)
	return s.Verdict(), nil
}

// efiVariable is the name of the global variables of UEFI.
const efiGUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

func (a *auditor) secureBoot(s *verdict.Builder, root fs.FS, host minewarden.Subject) {
	if _, err := fs.Stat(root, "sys/firmware/efi"); errors.Is(err, fs.ErrNotExist) {
		s.Prove(ruleSecureBoot, host, "the host was started by a legacy BIOS, or its firmware is hidden by a hypervisor: there is no /sys/firmware/efi", nil)
		return
	}
	b, err := read(root, "sys/firmware/efi/efivars/SecureBoot-"+efiGUID)
	switch {
	case err != nil:
		s.Unknown(ruleSecureBoot, "the variable SecureBoot cannot be read: "+err.Error())
	case len(b) != 5: // four bytes of attributes, then the value
		s.Unknown(ruleSecureBoot, fmt.Sprintf("the variable SecureBoot has %d bytes, want 5", len(b)))
	case b[4] == 1:
		if setup, err := read(root, "sys/firmware/efi/efivars/SetupMode-"+efiGUID); err == nil && len(setup) == 5 && setup[4] == 1 {
			s.Prove(ruleSecureBoot, host, "Secure Boot is on, but in setup mode: anyone may enrol keys", nil)
			return
		}
		s.Pass(ruleSecureBoot, "the variable SecureBoot is 1")
	default:
		s.Prove(ruleSecureBoot, host, "the variable SecureBoot is 0", nil)
	}
}

func (a *auditor) bios(s *verdict.Builder, root fs.FS, host minewarden.Subject) {
	word := func(name string) string {
		b, err := read(root, "sys/class/dmi/id/"+name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	version, date := word("bios_version"), word("bios_date")
	s.Version(strings.TrimSpace(word("bios_vendor") + " " + version))
	made, err := time.Parse("01/02/2006", date)
	if err != nil {
		s.Unknown(ruleAge, fmt.Sprintf("the date of the firmware is not known (%q)", date))
		return
	}
	if age := a.now().Sub(made); age > maxAge {
		s.Prove(ruleAge, host, fmt.Sprintf("firmware %s is of %s, %d years ago", version, made.Format("2006-01-02"), int(age.Hours()/24/365)), nil, verdict.Evidence("bios_version", version, "bios_date", date)...)
		return
	}
	s.Pass(ruleAge, "firmware "+version+" is of "+made.Format("2006-01-02"))
}

func measured(s *verdict.Builder, root fs.FS, host minewarden.Subject) {
	if _, err := fs.Stat(root, "sys/class/tpm/tpm0"); err != nil {
		s.Prove(ruleMeasured, host, "the kernel sees no TPM", nil)
		return
	}
	b, err := read(root, "sys/kernel/security/tpm0/binary_bios_measurements")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Unknown(ruleMeasured, "there is a TPM, but securityfs, which holds its event log, is not mounted or empty")
	case err != nil:
		s.Unknown(ruleMeasured, "the TPM's event log cannot be read: "+err.Error())
	case len(b) == 0:
		s.Prove(ruleMeasured, host, "the TPM's event log is empty", nil)
	default:
		s.Pass(ruleMeasured, fmt.Sprintf("the TPM's event log is there (%d bytes or more)", len(b)))
	}
}

func read(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	const limit = 64 << 10
	return io.ReadAll(io.LimitReader(f, limit))
}
