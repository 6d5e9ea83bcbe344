package sigma

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

// processMix returns process creations that are all different: real ones where they were recorded, and ordinary command
// lines with changing names, numbers and parents.
func processMix(n int, real []*minewarden.Event) []*minewarden.Event {
	rng := rand.New(rand.NewPCG(1, 2))
	var windows []string
	for _, line := range ordinary {
		if strings.HasPrefix(line, `c:\`) {
			windows = append(windows, line)
		}
	}
	word := func() string {
		b := make([]byte, 4+rng.IntN(9))
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[rng.IntN(36)]
		}
		return string(b)
	}
	image := func(line string) string {
		if i := strings.Index(line, ".exe"); i >= 0 {
			return strings.ToUpper(line[:1]) + line[1:i+4]
		}
		return line
	}
	events := make([]*minewarden.Event, 0, n)
	for i := range n {
		if len(real) > 0 && i%4 == 0 {
			events = append(events, real[(i/4)%len(real)])
			continue
		}
		line, parent := windows[rng.IntN(len(windows))], windows[rng.IntN(len(windows))]
		command := fmt.Sprintf(`%s /%s "C:\Users\%s\Documents\%s %s.txt" --id=%d`, line, word(), word(), word(), word(), rng.IntN(1<<20))
		exe := image(line)
		events = append(events, &minewarden.Event{Time: time.Unix(1700000000+int64(i), 0), Data: &minewarden.Record{
			Source: "evtx", Channel: "Microsoft-Windows-Sysmon/Operational", Host: "host", Fields: []minewarden.Field{
				{Name: "Provider_Name", Value: "Microsoft-Windows-Sysmon"},
				{Name: "EventID", Value: "1"},
				{Name: "Channel", Value: "Microsoft-Windows-Sysmon/Operational"},
				{Name: "Computer", Value: "host.example.org"},
				{Name: "UtcTime", Value: "2026-11-21 10:00:00.000"},
				{Name: "ProcessGuid", Value: "{" + word() + "}"},
				{Name: "ProcessId", Value: fmt.Sprint(rng.IntN(20000))},
				{Name: "Image", Value: exe},
				{Name: "FileVersion", Value: "10.0.19041.1"},
				{Name: "Description", Value: "Description of " + word()},
				{Name: "Product", Value: "Microsoft® Windows® Operating System"},
				{Name: "Company", Value: "Microsoft Corporation"},
				{Name: "OriginalFileName", Value: exe[strings.LastIndexByte(exe, '\\')+1:]},
				{Name: "CommandLine", Value: command},
				{Name: "CurrentDirectory", Value: `C:\Windows\system32\`},
				{Name: "User", Value: `NT AUTHORITY\SYSTEM`},
				{Name: "LogonId", Value: "0x3e7"},
				{Name: "IntegrityLevel", Value: "System"},
				{Name: "Hashes", Value: "SHA256=" + strings.Repeat(word(), 6) + ",IMPHASH=" + strings.Repeat(word(), 3)},
				{Name: "ParentProcessId", Value: fmt.Sprint(rng.IntN(20000))},
				{Name: "ParentImage", Value: image(parent)},
				{Name: "ParentCommandLine", Value: parent},
			},
		}})
	}
	return events
}

func isProcess(ev *minewarden.Event) bool {
	r, ok := ev.Data.(*minewarden.Record)
	if !ok {
		return false
	}
	id, _ := r.Field("EventID")
	return id == "4688" || id == "1" && strings.Contains(r.Channel, "Sysmon")
}

// BenchmarkProcessCreation is one event against all rules of SigmaHQ, of which 1,416 are for Windows processes.
func BenchmarkProcessCreation(b *testing.B) {
	set := sigmaHQ(b, nil)
	m := set.NewMatcher()
	var real []*minewarden.Event
	for _, ev := range sampleEvents(b) {
		if isProcess(ev) {
			real = append(real, ev)
		}
	}
	events := processMix(20_000, real)
	for _, ev := range events { // memory grows to its size
		m.Match(ev)
	}
	b.ReportAllocs()
	looked, matched := 0, 0
	i := 0
	for b.Loop() {
		matched += len(m.Match(events[i%len(events)]))
		looked += m.Looked
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(looked)/float64(b.N), "looked/event")
	b.ReportMetric(float64(matched)/float64(b.N), "matches/event")
	b.ReportMetric(float64(len(real)), "real")
}

// BenchmarkLinuxExec is one live exec, all in, against our own rules and SigmaHQ's, of which about 200 are for Linux.
func BenchmarkLinuxExec(b *testing.B) {
	det, err := DefaultConfig().Detector(NewLive(sigmaHQ(b, nil)))
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	var lines [][]string
	for _, line := range ordinary {
		if strings.HasPrefix(line, "/") {
			lines = append(lines, strings.Fields(line))
		}
	}
	events := make([]*minewarden.Event, 10_000)
	for i := range events {
		args, parent := lines[rng.IntN(len(lines))], lines[rng.IntN(len(lines))]
		args = append(args[:len(args):len(args)], fmt.Sprintf("--job=%d", rng.Uint64()))
		p := &minewarden.Process{Exe: args[0], Args: args, Parent: &minewarden.Process{Exe: parent[0], Args: parent}}
		events[i] = &minewarden.Event{Process: p, Data: &minewarden.Exec{Exe: args[0], Args: args, Cwd: "/srv/app", UID: 1000}}
	}
	b.ReportAllocs()
	findings, i := 0, 0
	for b.Loop() {
		findings += len(det.Observe(events[i%len(events)]))
		i++
	}
	b.ReportMetric(float64(findings)/float64(b.N), "findings/event")
}
