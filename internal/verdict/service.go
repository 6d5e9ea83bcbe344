package verdict

import (
	"fmt"
	"path"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/cve"
	"github.com/minewarden/minewarden/internal/probe"
)

// Transport judges how a service is reached: TLS, client certificates, and whether its certificate proves it.
func Transport(b *Builder, c *probe.Client, ruleTLS, ruleMTLS, ruleCert string, repair *minewarden.Repair) {
	if c.Unix() {
		why := "asked through a socket on this host"
		b.Rest(minewarden.StatusNotApplicable, why, ruleTLS, ruleMTLS, ruleCert)
		return
	}
	f := c.TLS()
	if !strings.HasPrefix(c.Base(), "https:") {
		b.Fail(Claim{Rule: ruleTLS, Proof: "it answers plain HTTP at " + c.Base(), Repair: repair})
		b.NotApplicable(ruleMTLS, "there is no TLS")
		b.NotApplicable(ruleCert, "there is no TLS")
		return
	}
	b.Pass(ruleTLS, "it answers over "+f.Version)
	switch {
	case f.ClientNeeded:
		b.Pass(ruleMTLS, "the TLS handshake fails without a client certificate")
	case f.ClientAsked:
		b.Fail(Claim{Rule: ruleMTLS, Proof: "it asks for a client certificate and answers without one"})
	default:
		b.Fail(Claim{Rule: ruleMTLS, Proof: "it never asks for a client certificate"})
	}
	var bad []string
	if f.SelfSigned {
		bad = append(bad, "self-signed")
	}
	if f.Expired {
		bad = append(bad, "expired "+f.NotAfter.UTC().Format("2006-01-02"))
	}
	if f.WrongName {
		bad = append(bad, "not for this name")
	}
	if f.Untrusted != "" && len(bad) == 0 {
		bad = append(bad, f.Untrusted)
	}
	if len(bad) == 0 {
		b.Pass(ruleCert, "the certificate verifies, until "+f.NotAfter.UTC().Format("2006-01-02"))
		return
	}
	b.Fail(Claim{Rule: ruleCert, Proof: "the certificate is " + strings.Join(bad, ", "), Evidence: []minewarden.Evidence{
		{Key: "subject", Value: f.Subject}, {Key: "sha256", Value: f.SHA256}, {Key: "expires", Value: f.NotAfter.UTC().Format("2006-01-02")},
	}})
}

// CVE judges version. Entries that need a feature count only when has tells that it is there; nil: not known, so they are
// left possible.
func CVE(b *Builder, list *cve.List, product, version, how, ruleTakeover, ruleOther string, has func(feature string) bool) {
	ms, err := list.Match(product, version)
	if err != nil {
		b.Unknown(ruleTakeover, "version "+version+": "+err.Error())
		return
	}
	for _, takeover := range []bool{true, false} {
		rule := ruleOther
		if takeover {
			rule = ruleTakeover
		}
		var ids []string
		var ev []minewarden.Evidence
		distro := false
		for _, m := range ms {
			if (m.Impact == cve.Takeover) != takeover || (m.Needs != "" && has != nil && !has(m.Needs)) {
				continue
			}
			distro = distro || m.Distro
			ids = append(ids, m.ID)
			if len(ev) < 20 {
				what := m.What
				if what == "" {
					what = "see " + m.Source
				}
				ev = append(ev, minewarden.Evidence{Key: m.ID, Value: what + " (" + strings.Join(m.Ranges, " ") + ")"})
			}
		}
		if len(ids) == 0 {
			b.Pass(rule, fmt.Sprintf("%s; no range of the list of %s covers it", how, list.Date))
			continue
		}
		confidence := Possible + 0.2
		if distro {
			confidence = Possible - 0.1
			ev = append(ev, minewarden.Evidence{Key: "package", Value: "a distribution built it and may have repaired it without a new version"})
		}
		ev = append(ev, minewarden.Evidence{Key: "list", Value: list.Date})
		b.Fail(Claim{Rule: rule, Confidence: confidence, Proof: fmt.Sprintf("%s, which %s cover (by version number alone)", how, few(ids)), Evidence: ev})
	}
}

func few(ids []string) string {
	if len(ids) > 6 {
		return strings.Join(ids[:6], ", ") + fmt.Sprintf(" and %d more", len(ids)-6)
	}
	return strings.Join(ids, ", ")
}

// OwnsHost tells whether who can write, or in places read, p on a host can take the host over.
func OwnsHost(p string) bool {
	if !strings.HasPrefix(p, "/") {
		return false
	}
	p = path.Clean(p)
	switch p {
	case "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var", "/var/lib", "/var/run", "/var/spool", "/var/spool/cron",
		"/var/lib/docker", "/var/lib/kubelet", "/var/lib/containerd", "/usr/bin", "/usr/sbin", "/usr/local", "/usr/local/bin", "/usr/lib", "/mnt", "/host":
		return p != "/mnt" && p != "/opt" && p != "/host"
	}
	for _, dir := range []string{"/etc/cron", "/etc/systemd", "/etc/sudoers", "/etc/ssh", "/etc/ld.so", "/etc/profile", "/etc/pam.d", "/etc/init.d", "/etc/kubernetes", "/etc/passwd", "/etc/shadow", "/root/", "/proc/", "/boot/", "/var/spool/cron/", "/lib/systemd", "/usr/lib/systemd", "/dev/sd", "/dev/vd", "/dev/nvme", "/dev/mem", "/dev/kmem"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	switch path.Base(p) {
	case "docker.sock", "containerd.sock", "crio.sock", "podman.sock", ".ssh":
		return true
	}
	return false
}
