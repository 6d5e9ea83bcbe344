// Package windowshost sees, in Windows' own event logs, processes that claim to be the system's, services and tasks that run what
// none should, programs brought through administrative shares, cleared logs and miners.
package windowshost

import (
	_ "embed"
	"strconv"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

//go:embed README.md
var doc string

const (
	retell    = time.Hour // the same claim about the same thing of the same host
	toldSlots = 4096
)

type detector struct {
	low   []byte // of the command line or task
	path  []byte // of the image
	by    []byte // of its parent
	told  [toldSlots]told
	found []minewarden.Finding
}

type told struct {
	hash uint64
	at   time.Time
}

var _ minewarden.Detector = (*detector)(nil)

// New returns the detector.
func New(minewarden.Env) (minewarden.Detector, error) { return &detector{}, nil }

// Info implements minewarden.Detector.
func (*detector) Info() minewarden.Info {
	return minewarden.Info{Name: "windowshost", Title: "processes, services, tasks and shares of Windows hosts", Doc: doc}
}

// Rules implements minewarden.Detector.
func (*detector) Rules() []minewarden.Rule { return rules[1:] }

// Kinds implements minewarden.Detector.
func (*detector) Kinds() []minewarden.Kind { return []minewarden.Kind{minewarden.KindRecord} }

// Observe implements minewarden.Detector.
func (d *detector) Observe(ev *minewarden.Event) []minewarden.Finding {
	r, ok := ev.Data.(*minewarden.Record)
	if !ok || r.Source != "evtx" && r.Product != "windows" {
		return nil
	}
	d.found = nil
	id, channel := field(r, "EventID"), r.Channel
	if channel == "" {
		channel = field(r, "Channel")
	}
	sysmon := strings.HasPrefix(channel, "Microsoft-Windows-Sysmon")
	switch {
	case id == "1" && sysmon:
		d.process(ev.Time, r, field(r, "Image"), field(r, "ParentImage"), field(r, "CommandLine"))
	case id == "4688":
		d.process(ev.Time, r, field(r, "NewProcessName"), field(r, "ParentProcessName"), field(r, "CommandLine"))
	case id == "4697":
		d.service(ev.Time, r, field(r, "ServiceName"), field(r, "ServiceFileName"))
	case id == "7045" && channel != "Security" && !sysmon:
		d.service(ev.Time, r, field(r, "ServiceName"), field(r, "ImagePath"))
	case id == "5145":
		d.share(ev.Time, r)
	case id == "4698" || id == "4702":
		content := field(r, "TaskContent")
		if content == "" {
			content = field(r, "TaskContentNew")
		}
		d.task(ev.Time, r, field(r, "TaskName"), content)
	case id == "1102" && !sysmon || id == "104" && (channel == "System" || field(r, "Provider_Name") == "Microsoft-Windows-Eventlog"):
		log := channel
		for i := range r.Fields { // behind the event's own channel comes the name of the log that was cleared
			if f := &r.Fields[i]; f.Name == "Channel" {
				log = f.Value
			}
		}
		d.tell(ev.Time, cleared, 0.9, r, id, evidence("log", log), evidence("user", field(r, "SubjectUserName")))
	case sysmon && (id == "17" || id == "18"):
		image := field(r, "Image")
		d.pipe(ev.Time, r, field(r, "PipeName"), image)
		d.path = fold(d.path[:0], image)
		if i := lastSlash(d.path); i >= 0 {
			if h, known := homes[string(d.path[i+1:])]; known && !properDir(d.path[:i], h) {
				d.tell(ev.Time, elsewhere, 0.95, r, image, evidence("image", image), evidence("pipe", field(r, "PipeName")))
			}
		}
	case sysmon && (id == "6" || id == "11"):
		name := field(r, "ImageLoaded")
		if id == "11" {
			name = field(r, "TargetFilename")
		}
		if minerDriver(name) {
			d.tell(ev.Time, driver, 0.6, r, name, evidence("file", name), evidence("image", field(r, "Image")))
		}
	}
	return d.found
}

func field(r *minewarden.Record, name string) string {
	v, _ := r.Field(name)
	return v
}

func evidence(key, value string) minewarden.Evidence {
	return minewarden.Evidence{Key: key, Value: value}
}

// base returns the part of a folded path behind its last separator, and the directory.
func base(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '\\')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func (d *detector) process(now time.Time, r *minewarden.Record, image, by, line string) {
	d.path = fold(d.path[:0], image)
	d.low = fold(d.low[:0], line)
	ev := [...]minewarden.Evidence{evidence("image", image), evidence("parent", by), evidence("command", shown(line)), evidence("user", user(r))}
	i := lastSlash(d.path)
	h, known := homes[string(d.path[i+1:])]
	d.by = fold(d.by[:0], by)
	started := d.by[lastSlash(d.by)+1:]
	switch {
	case i < 0:
	case known && !properDir(d.path[:i], h):
		d.tell(now, elsewhere, 0.95, r, image, ev[:]...)
	case known && h.parents != nil && len(started) > 1 && started[0] != '<' && !oneOf(started, h.parents):
		d.tell(now, parent, 0.85, r, image+by, ev[:]...)
	case known:
		if string(d.path[i+1:]) == "svchost.exe" && len(d.low) > 0 && !contains(d.low, " -k") {
			d.tell(now, parent, 0.6, r, image, ev[:]...)
		}
	case len(d.path)-i-1 >= 10 && len(d.path)-i-1 <= 19:
		if real := near(d.path[i+1:]); real != "" {
			d.tell(now, lookalike, 0.7, r, image, append([]minewarden.Evidence{evidence("imitates", real)}, ev[:]...)...)
		}
	}
	v := judge(line, d.low)
	if v.claim != none {
		list := ev[:]
		if v.note != "" {
			list = append([]minewarden.Evidence{evidence("decoded", shown(v.note))}, list...)
		}
		about := image + line
		if v.claim == clearing {
			about = "" // tools clear one log after the other
		}
		d.tell(now, v.claim, v.confidence, r, about, list...)
	}
	if shell(string(d.path[i+1:])) && server(string(started)) {
		d.tell(now, serverShell, 0.8, r, image+by, ev[:]...)
	}
}

func lastSlash(b []byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '\\' {
			return i
		}
	}
	return -1
}

func oneOf(b []byte, list []string) bool {
	for _, l := range list {
		if string(b) == l {
			return true
		}
	}
	return false
}

func user(r *minewarden.Record) string {
	if u := field(r, "User"); u != "" {
		return u
	}
	return field(r, "SubjectUserName")
}

func shown(s string) string { return s[:min(len(s), maxShown)] }

func minerDriver(path string) bool {
	const name = "winring0"
	for i := 0; i+len(name) <= len(path); i++ {
		if (path[i] == 'W' || path[i] == 'w') && strings.EqualFold(path[i:i+len(name)], name) {
			return true
		}
	}
	return false
}

// tell says each claim about one thing of a host once an hour.
func (d *detector) tell(now time.Time, c claim, confidence float64, r *minewarden.Record, about string, ev ...minewarden.Evidence) {
	host := r.Host
	if host == "" {
		host = field(r, "Computer")
	}
	h := uint64(14695981039346656037) ^ uint64(c)
	for _, s := range [...]string{host, about} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	slot := &d.told[(h^h>>32)%toldSlots]
	if slot.hash == h && now.Sub(slot.at) < retell && !now.Before(slot.at) {
		return
	}
	*slot = told{h, now}
	subject := minewarden.Subject{Type: minewarden.SubjectHost, ID: host, Name: host, Host: host}
	list := make([]minewarden.Evidence, 0, len(ev)+1)
	for _, e := range ev {
		if e.Value != "" && e.Value != "-" {
			list = append(list, e)
		}
	}
	list = append(list, evidence("event", field(r, "EventID")))
	if n := field(r, "EventRecordID"); n != "" {
		if _, err := strconv.ParseUint(n, 10, 64); err == nil {
			list = append(list, evidence("record", n))
		}
	}
	d.found = append(d.found, minewarden.Finding{Time: now, Rule: rules[c].ID, Subject: subject, Confidence: confidence, Evidence: list})
}
