// Package intel tells of known-bad values that were met: hashes of programs, addresses and names.
package intel

import (
	_ "embed"
	"strconv"
	"time"

	"github.com/minewarden/minewarden"
)

//go:embed README.md
var doc string

// Rule ids: what was met, and how sure the list is of it.
const (
	ruleHash     = "intel/hash"
	ruleHashWeak = "intel/hash-weak"
	ruleAddr     = "intel/address"
	ruleAddrWeak = "intel/address-weak"
	ruleName     = "intel/domain"
	ruleNameWeak = "intel/domain-weak"
)

const origin = "The evidence names the list. If the list is wrong here, allow the value with `minewarden intel`; if it is right, "

var rules = []minewarden.Rule{
	{ID: ruleHash, Title: "A known miner or malware file is here", Severity: minewarden.High, Technique: []string{"T1496.001", "T1105"}, Advice: origin + "stop what runs it and look for how it came."},
	{ID: ruleHashWeak, Title: "A file of which a list is unsure is here", Severity: minewarden.Low, Technique: []string{"T1105"}, Advice: origin + "look at where the file came from."},
	{ID: ruleAddr, Title: "A connection to a known-bad address", Severity: minewarden.Medium, Technique: []string{"T1071"}, Advice: origin + "look at the process that connects, and block the address."},
	{
		ID: ruleAddrWeak, Title: "A connection to an address of which a list is unsure", Severity: minewarden.Informational, Technique: []string{"T1071"},
		Advice: origin + "look at the process. Shared hosts and content networks carry many names on one address.",
	},
	{ID: ruleName, Title: "A web request to a known-bad name", Severity: minewarden.Medium, Technique: []string{"T1071.001"}, Advice: origin + "look at the process that asks."},
	{ID: ruleNameWeak, Title: "A web request to a name of which a list is unsure", Severity: minewarden.Informational, Technique: []string{"T1071.001"}, Advice: origin + "look at the process that asks."},
}

// sure is the confidence of an indicator from which its meaning is told, and not only that it was met.
const sure = 0.8

// Bounds of what is told.
const (
	maxTold = 8192
	again   = time.Hour // the same value by the same subject is told once in that time
)

type detector struct {
	told map[string]time.Time
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) {
	return &detector{told: map[string]time.Time{}}, nil
}

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "intel", Title: "known-bad hashes, addresses and names", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules }

// Kinds implements minewarden.Detector. Names in DNS and TLS are told by the detectors of those.
func (*detector) Kinds() []minewarden.Kind {
	return []minewarden.Kind{minewarden.KindConnect, minewarden.KindFlow, minewarden.KindHTTP, minewarden.KindImage, minewarden.KindFile}
}

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	if len(ev.Matches) == 0 {
		return nil
	}
	var found []minewarden.Finding
	for i := range ev.Matches {
		if f, ok := d.one(ev, &ev.Matches[i]); ok {
			found = append(found, f)
		}
	}
	return found
}

func (d *detector) one(ev *minewarden.Event, m *minewarden.Match) (minewarden.Finding, bool) {
	strong, weak := "", ""
	var subject minewarden.Subject
	var extra minewarden.Evidence
	switch x := ev.Data.(type) {
	case *minewarden.Connect:
		strong, weak = ruleAddr, ruleAddrWeak
		subject = minewarden.FlowSubject(minewarden.FlowKey{Proto: x.Proto, Client: x.Local, Server: x.Remote})
		if ev.Process != nil {
			subject = minewarden.ProcessSubject(ev.Process)
		}
		extra = minewarden.Evidence{Key: "remote", Value: x.Remote.String()}
	case *minewarden.Flow:
		strong, weak = ruleAddr, ruleAddrWeak
		subject = minewarden.FlowSubject(x.Key)
		extra = minewarden.Evidence{Key: "remote", Value: x.Key.Server.String()}
	case *minewarden.HTTP:
		strong, weak = ruleName, ruleNameWeak
		subject = minewarden.FlowSubject(x.Key)
		extra = minewarden.Evidence{Key: "request", Value: x.Method + " " + x.Host + cut(x.Path)}
	case *minewarden.Image:
		strong, weak = ruleHash, ruleHashWeak
		subject = minewarden.Subject{Type: minewarden.SubjectFile, ID: x.Exe}
		if ev.Process != nil {
			subject = minewarden.ProcessSubject(ev.Process)
		}
		extra = minewarden.Evidence{Key: "exe", Value: x.Exe}
	case *minewarden.File:
		strong, weak = ruleHash, ruleHashWeak
		subject = minewarden.Subject{Type: minewarden.SubjectFile, ID: x.Path}
		extra = minewarden.Evidence{Key: "path", Value: x.Path}
	default:
		return minewarden.Finding{}, false
	}
	rule := weak
	if m.Indicator.Confidence >= sure {
		rule = strong
	}
	who := subject.ID
	if subject.Type == minewarden.SubjectFlow {
		who = subject.Client[:max(0, lastColon(subject.Client))] // a client's ports change, its address does not
	}
	if !d.news(who+" "+m.Indicator.Value, ev.Time) {
		return minewarden.Finding{}, false
	}
	evidence := []minewarden.Evidence{extra, {Key: "indicator", Value: m.Indicator.Type + " " + m.Indicator.Value}}
	if m.Indicator.Source != "" {
		evidence = append(evidence, minewarden.Evidence{Key: "source", Value: m.Indicator.Source})
	}
	return minewarden.Finding{
		Time: ev.Time, Rule: rule, Subject: subject, Confidence: min(1, max(0.05, m.Indicator.Confidence)), Process: ev.Process,
		Evidence: append(evidence, minewarden.Evidence{Key: "list_confidence", Value: strconv.FormatFloat(m.Indicator.Confidence, 'f', 2, 64)}),
	}, true
}

// news says whether key was not told of lately.
func (d *detector) news(key string, now time.Time) bool {
	if at, ok := d.told[key]; ok && now.Sub(at) < again {
		return false
	}
	if len(d.told) >= maxTold {
		clear(d.told)
	}
	d.told[key] = now
	return true
}

func lastColon(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == ':' {
			return i
		}
	}
	return -1
}

func cut(path string) string { return path[:min(len(path), 200)] }
