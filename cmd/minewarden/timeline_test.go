package main

import (
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

func TestTimeline(t *testing.T) {
	var tl timeline
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	rule := minewarden.Rule{Title: "A, title", Severity: minewarden.High, Technique: []string{"T1496"}}
	tl.add(minewarden.Finding{Time: at.Add(time.Second), Rule: "x/late", Confidence: 0.5, Input: "b"}, rule)
	tl.add(minewarden.Finding{
		Time: at, Rule: "x/early", Confidence: 1, Subject: minewarden.Subject{Type: "host", ID: "=cmd|calc", Host: "h"}, Input: "a",
		Evidence: []minewarden.Evidence{{Key: "k", Value: "v"}, {Key: "l", Value: "\x1b[31m\n"}},
	}, rule)
	var b strings.Builder
	if err := tl.write(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], `2026-11-21T20:00:00Z,high,x/early,"A, title",1,host,'=cmd|calc,h,T1496,`) || !strings.Contains(lines[2], "x/late") {
		t.Errorf("got\n%s", b.String())
	}
	if strings.ContainsRune(b.String(), 0x1b) {
		t.Error("an escape sequence got through")
	}
}
