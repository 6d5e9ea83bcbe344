package main

import (
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// A story says first what happened, whether it goes on and why it is believed, and ends with commands that can be typed.
func TestStory(t *testing.T) {
	at := time.Date(2026, 11, 3, 3, 0, 0, 0, time.UTC)
	key := minewarden.ProcessKey{Boot: "b", PID: 42, Start: 7}
	subject := minewarden.Subject{Type: minewarden.SubjectProcess, ID: key.String(), PID: 42, Name: "x\x1b[2J"}
	const lineage = "systemd > a > b > c > d > e > f > nomad > sh > x"
	inc := minewarden.Incident{
		ID: "i1", Subject: subject, State: minewarden.Contained, Severity: minewarden.Critical, Score: 0.99, Opened: at, Updated: at, Host: "h",
		Members: []minewarden.Member{{Key: key, Name: "x", Exe: "/var/tmp/x", Severity: minewarden.Critical}, {Key: minewarden.ProcessKey{PID: 41}, Name: "sh", Exe: "/bin/sh"}},
		Findings: []minewarden.IncidentFinding{
			{Rule: "lineage/service-chain", Title: "A service's child fetched a program and ran it", Severity: minewarden.High, Confidence: 0.9, Subject: subject, Lineage: lineage, Evidence: []minewarden.Evidence{{Key: "service", Value: "nomad"}, {Key: "lineage", Value: lineage}}, Advice: "Look.", Time: at},
			{Rule: "pow/randomx", Title: "It mines", Severity: minewarden.Critical, Confidence: 0.99, Subject: subject, Lineage: lineage, Time: at},
		},
		Actions: []minewarden.Receipt{{Action: minewarden.Action{ID: "freeze-1", Op: "freeze", Summary: "freeze 1 process", Reversible: true}, OK: true, Result: "frozen", Who: "policy contain", Why: "99 % sure", Done: at}},
	}
	got := story(&inc)
	for _, want := range []string{
		"Incident i1: It mines\n", "contained, critical, 99% sure", "which runs /var/tmp/x", "… > c > d > e > f > nomad > sh > x", "came in by     nomad", "2 of its processes were running when last heard of: 42 41",
		"2 kinds of evidence agree that do not depend on each other: lineage, pow", "minewarden incidents undo i1 --action freeze-1", "minewarden respond plan i1", "minewarden evidence collect i1",
		"41       sh  /bin/sh  [nothing against it", "minewarden incidents judge i1 false_positive",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "> nomad > sh > x"); n != 3 { // in short, and once for each finding
		t.Errorf("the lineage is told %d times:\n%s", n, got)
	}
	if strings.Contains(got, "\x1b") || strings.Contains(got, "respond do i1 freeze") {
		t.Errorf("a name acts on the screen, or what is frozen is to be frozen:\n%q", got)
	}
	inc = minewarden.Incident{ID: "i2", State: minewarden.Open, Severity: minewarden.Low, Findings: []minewarden.IncidentFinding{{Rule: "lineage/pipe", Severity: minewarden.Low}}}
	if got := story(&inc); !strings.Contains(got, "honest work looks so too") || !strings.Contains(got, "nothing: minewarden acts by itself only") {
		t.Error(got)
	}
}
