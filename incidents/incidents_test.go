package incidents

import (
	"fmt"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

var t0 = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

var rules = []minewarden.Rule{
	{ID: "pow/randomx", Title: "RandomX", Severity: minewarden.Critical},
	{ID: "pow/code", Title: "Code", Severity: minewarden.High},
	{ID: "lineage/shell", Title: "Shell", Severity: minewarden.Medium},
	{ID: "stratum/login", Title: "Login", Severity: minewarden.High},
	{ID: "resource/cpu", Title: "CPU", Severity: minewarden.Low},
	{ID: "resource/memory", Title: "Memory", Severity: minewarden.Informational},
	{ID: "file/miner", Title: "File", Severity: minewarden.High},
}

func correlator() *Correlator { return New(Config{Host: "h", Rules: rules}) }

// tree makes processes: "systemd:1 > nginx > sh" gives the last; names that were made before are the same process.
type tree map[string]*minewarden.Process

func (t tree) add(name string, parent *minewarden.Process) *minewarden.Process {
	if p := t[name]; p != nil {
		return p
	}
	pid := int32(len(t) + 100)
	comm := name
	if i := indexByte(name, '#'); i >= 0 { // "sh#2" is another sh
		comm = name[:i]
	}
	exe := "/usr/bin/" + comm
	if comm == "systemd" {
		pid = 1
	}
	p := &minewarden.Process{
		Key: minewarden.ProcessKey{Boot: "b", PID: pid, Start: uint64(pid)}, Name: comm, Exe: exe, Package: "dpkg:" + comm,
		Args: []string{comm, "-c", "x"}, Parent: parent,
	}
	if comm == "xmrig" {
		p.Exe, p.Package = "/tmp/"+name, ""
	}
	t[name] = p
	return p
}

func (t tree) chain(names ...string) *minewarden.Process {
	var p *minewarden.Process
	for _, n := range names {
		p = t.add(n, p)
	}
	return p
}

func indexByte(s string, b byte) int {
	for i := range len(s) {
		if s[i] == b {
			return i
		}
	}
	return -1
}

func finding(rule string, seconds float64, p *minewarden.Process) *minewarden.Finding {
	return &minewarden.Finding{
		Time: at(seconds), Rule: rule, Subject: minewarden.ProcessSubject(p), Process: p, Confidence: 0.8,
		Evidence: []minewarden.Evidence{{Key: "k", Value: "v"}},
	}
}

func TestJoin(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []string
		same bool
	}{
		"same process":                {[]string{"systemd", "xmrig"}, []string{"systemd", "xmrig"}, true},
		"child":                       {[]string{"systemd", "xmrig"}, []string{"systemd", "xmrig", "xmrig#2"}, true},
		"parent after child":          {[]string{"systemd", "xmrig", "xmrig#2"}, []string{"systemd", "xmrig"}, true},
		"siblings of a service":       {[]string{"systemd", "nomad", "sh", "wget"}, []string{"systemd", "nomad", "sh#2", "xmrig"}, true},
		"workers of a service":        {[]string{"systemd", "nginx", "nginx#2", "sh", "curl"}, []string{"systemd", "nginx", "nginx#3", "sh#2", "xmrig"}, true},
		"two services":                {[]string{"systemd", "nomad", "sh", "wget"}, []string{"systemd", "redis", "sh#2", "xmrig"}, false},
		"through init":                {[]string{"systemd", "xmrig"}, []string{"systemd", "xmrig#2"}, false},
		"through sshd":                {[]string{"systemd", "sshd", "bash", "wget"}, []string{"systemd", "sshd", "bash#2", "xmrig"}, false},
		"through a shim":              {[]string{"systemd", "containerd-shim-runc-v2", "xmrig"}, []string{"systemd", "containerd-shim-runc-v2", "xmrig#2"}, false},
		"through cron":                {[]string{"systemd", "cron", "sh", "wget"}, []string{"systemd", "cron", "sh#2", "xmrig"}, false},
		"one cron script":             {[]string{"systemd", "cron", "sh", "wget"}, []string{"systemd", "cron", "sh", "xmrig"}, true},
		"script of a script":          {[]string{"systemd", "cron", "sh", "wget"}, []string{"systemd", "cron", "sh", "nohup", "xmrig"}, true},
		"descendant of what it began": {[]string{"systemd", "node", "sh", "xmrig"}, []string{"systemd", "node", "sh", "xmrig", "sh#2", "xmrig#2"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			co, tr := correlator(), tree{}
			a := co.Finding(finding("lineage/shell", 1, tr.chain(c.a...)))
			b := co.Finding(finding("pow/randomx", 2, tr.chain(c.b...)))
			if (a == b) != c.same {
				t.Errorf("incidents %s and %s, want same: %t", a, b, c.same)
			}
		})
	}
}

func TestLoginShellJoinsNothing(t *testing.T) {
	co, tr := correlator(), tree{}
	sh := tr.chain("systemd", "sshd", "bash")
	sh.Args = []string{"-bash"}
	if a, b := co.Finding(finding("lineage/shell", 1, tr.add("wget", sh))), co.Finding(finding("pow/randomx", 2, tr.add("xmrig", sh))); a == b {
		t.Error("what one person typed became one incident")
	}
}

// What somebody does one after the other has nothing in common but the shell or tool that was there before; what a service does has.
func TestWhatWasThereBefore(t *testing.T) {
	for name, c := range map[string]struct {
		up   []string
		args []string // of the last of up
		same bool
	}{
		"session without a terminal":      {[]string{"systemd", "backend", "bash"}, []string{"bash", "/dev/fd/3"}, false},
		"shell within a shell":            {[]string{"systemd", "sshd", "bash#0", "bash"}, []string{"bash", "--norc"}, false},
		"tool of a session":               {[]string{"systemd", "sshd", "bash#0", "editor"}, []string{"editor", "."}, false},
		"script that runs for hours":      {[]string{"systemd", "bash"}, []string{"bash", "/opt/run.sh"}, false},
		"service of no known name":        {[]string{"systemd", "web-api"}, []string{"/opt/web-api"}, true},
		"worker of one":                   {[]string{"systemd", "web-api", "web-api#2"}, []string{"/opt/web-api"}, true},
		"service in an interpreter":       {[]string{"systemd", "python3"}, []string{"python3", "/opt/api.py"}, true},
		"service that a person started":   {[]string{"systemd", "sshd", "bash#0", "redis-server"}, []string{"redis-server"}, true},
		"in a shell that began just then": {[]string{"systemd", "cron", "sh"}, []string{"sh", "-c", "x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			co, tr := correlator(), tree{}
			up := tr.chain(c.up...)
			up.Args = c.args
			var ids [2]string
			for i, child := range [...]string{"timeout", "timeout#2"} {
				wrapper := tr.add(child, up)
				inner := tr.add(fmt.Sprintf("sh#in%d", i), wrapper)
				bad := tr.add(fmt.Sprintf("xmrig#%d", i), inner)
				if name != "in a shell that began just then" {
					for _, p := range []*minewarden.Process{wrapper, inner, bad} {
						p.Key.Start += wrapperAge * uint64(2+i)
					}
				}
				bad.Exe = fmt.Sprintf("/tmp/%d", i)
				ids[i] = co.Finding(finding("pow/code", float64(i), bad))
				for _, m := range co.all[ids[i]].inc.Members {
					if m.Key == up.Key && !c.same {
						t.Errorf("%s is a member", m.Name)
					}
				}
			}
			if (ids[0] == ids[1]) != c.same {
				t.Errorf("incidents %s and %s, want same: %t", ids[0], ids[1], c.same)
			}
		})
	}
}

func TestContainer(t *testing.T) {
	co, tr := correlator(), tree{}
	shim := tr.chain("systemd", "containerd-shim-runc-v2")
	a, b, other := tr.add("xmrig", shim), tr.add("sh", shim), tr.add("xmrig#2", shim)
	a.Container.ID, b.Container.ID, other.Container.ID = "c1", "c1", "c2"
	i := co.Finding(finding("pow/randomx", 1, a))
	if j := co.Finding(finding("lineage/shell", 2, b)); i != j {
		t.Error("one container, two incidents")
	}
	if j := co.Finding(finding("pow/randomx", 3, other)); i == j {
		t.Error("two containers, one incident")
	}
}

func TestFileAndFlow(t *testing.T) {
	co, tr := correlator(), tree{}
	x, w := tr.chain("systemd", "xmrig"), tr.chain("systemd", "redis", "sh", "xmrig#w")
	i := co.Finding(finding("pow/randomx", 1, x))
	file := &minewarden.Finding{Time: at(2), Rule: "file/miner", Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: x.Exe}, Confidence: 0.9}
	if j := co.Finding(file); j != i {
		t.Error("the file that a member runs is another incident")
	}
	j := co.Finding(finding("pow/code", 3, w))
	co.Event(&minewarden.Event{Time: at(4), Process: w, Data: &minewarden.Write{Path: "/dev/shm/a", Op: "create"}})
	y := tr.chain("systemd", "cron", "xmrig#y")
	y.Exe = "/dev/shm/a"
	if k := co.Finding(finding("pow/randomx", 5, y)); k != j {
		t.Error("what a member wrote runs as another incident")
	}
	conn := &minewarden.Connect{Proto: "tcp"}
	key := minewarden.FlowKey{Proto: "tcp"}
	for _, e := range []interface{ UnmarshalText([]byte) error }{&conn.Local, &key.Client} {
		if err := e.UnmarshalText([]byte("10.0.0.2:4000")); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []interface{ UnmarshalText([]byte) error }{&conn.Remote, &key.Server} {
		if err := e.UnmarshalText([]byte("10.0.0.3:443")); err != nil {
			t.Fatal(err)
		}
	}
	co.Event(&minewarden.Event{Time: at(6), Process: x, Data: conn})
	if k := co.Finding(&minewarden.Finding{Time: at(7), Rule: "stratum/login", Subject: minewarden.FlowSubject(key), Confidence: 0.9}); k != i {
		t.Error("the connection of a member is another incident")
	}
}

func TestScore(t *testing.T) {
	one := func(rule string, conf float64) minewarden.IncidentFinding {
		sev := minewarden.Informational
		for _, r := range rules {
			if r.ID == rule {
				sev = r.Severity
			}
		}
		return minewarden.IncidentFinding{Rule: rule, Confidence: conf, Severity: sev}
	}
	score := func(f ...minewarden.IncidentFinding) float64 { _, s := Score(f); return s }
	pow := score(one("pow/randomx", 0.8))
	if got := score(one("pow/randomx", 0.8), one("pow/code", 0.8), one("pow/code", 0.7)); got != pow {
		t.Errorf("one family adds up: %g", got)
	}
	if got := score(one("pow/randomx", 0.8), one("stratum/login", 0.8)); got < 0.95 {
		t.Errorf("two families: %g", got)
	}
	if got := score(one("pow/randomx", 0.8), one("resource/cpu", 0.9)); got <= pow {
		t.Errorf("weak evidence does not raise: %g", got)
	}
	sev, got := Score([]minewarden.IncidentFinding{one("resource/cpu", 1), one("resource/memory", 1), one("a/b", 1), one("c/d", 1), one("e/f", 1), one("g/h", 1)})
	if got > maxWeak || sev > minewarden.Low {
		t.Errorf("weak evidence alone: %s %g", sev, got)
	}
	var many []minewarden.IncidentFinding
	for i := range 100 {
		many = append(many, one(fmt.Sprintf("f%d/x", i), 2))
	}
	if got := score(many...); got > 1 || got < 0 {
		t.Errorf("score %g", got)
	}
}

func TestRepeatsAndReplay(t *testing.T) {
	co, tr := correlator(), tree{}
	p := tr.chain("systemd", "xmrig")
	var id string
	for range 2 { // the second time is a replay
		for i := range 10 {
			id = co.Finding(finding("pow/randomx", float64(i), p))
		}
	}
	inc, _ := co.Get(id)
	if len(inc.Findings) != 1 || inc.Findings[0].Count != 10 || !inc.Findings[0].Time.Equal(at(0)) || !inc.Findings[0].Last.Equal(at(9)) {
		t.Errorf("%+v", inc.Findings)
	}
	if inc.Score != 0.8 {
		t.Errorf("score %g of ten repeats", inc.Score)
	}
}

func TestMembers(t *testing.T) {
	co, tr := correlator(), tree{}
	svc := tr.chain("systemd", "nginx")
	x := tr.add("xmrig", tr.add("sh", svc))
	id := co.Finding(finding("resource/cpu", 1, x))
	if inc, _ := co.Get(id); len(inc.Members) != 1 || !inc.Members[0].Weak || inc.Severity != minewarden.Low {
		t.Errorf("weak: %+v", inc)
	}
	co.Finding(finding("pow/randomx", 2, x))
	child := minewarden.ProcessKey{PID: 900, Start: 5}
	co.Event(&minewarden.Event{Time: at(3), Process: x, Data: &minewarden.Fork{Child: child}})
	child.Boot = "b"
	names := func() (s string) {
		inc, _ := co.Get(id)
		for _, m := range inc.Members {
			s += fmt.Sprintf("%s/%d/%t ", m.Name, m.Key.PID, m.Weak)
		}
		return s
	}
	if got, want := names(), fmt.Sprintf("xmrig/%d/false sh/%d/false xmrig/900/false ", x.Key.PID, x.Parent.Key.PID); got != want {
		t.Errorf("members %s, want %s: the service itself is none", got, want)
	}
	kid := &minewarden.Process{Key: child, Name: "kswapd0", Parent: x}
	co.Event(&minewarden.Event{Time: at(4), Process: kid, Data: &minewarden.Exec{Name: "kswapd0", Exe: "/tmp/k"}})
	grandchild := &minewarden.Process{Key: minewarden.ProcessKey{Boot: "b", PID: 901, Start: 6}, Name: "g", Parent: kid}
	co.Event(&minewarden.Event{Time: at(4), Process: grandchild, Data: &minewarden.Exec{Name: "g"}}) // its fork was missed
	if inc, _ := co.Get(id); len(inc.Members) != 4 || inc.Members[2].Name != "kswapd0" || inc.Members[2].Exe != "/tmp/k" {
		t.Errorf("after exec: %+v", inc.Members)
	}
	co.Event(&minewarden.Event{Time: at(5), Process: kid, Data: &minewarden.Exit{}})
	co.Event(&minewarden.Event{Time: at(5), Process: x, Data: &minewarden.Exit{}})
	if inc, _ := co.Get(id); len(inc.Members) != 3 || !inc.Members[0].Exited.Equal(at(5)) {
		t.Errorf("after exit: %+v", inc.Members)
	}
}

func TestStates(t *testing.T) {
	co, tr := correlator(), tree{}
	p := tr.chain("systemd", "nomad", "xmrig")
	id := co.Finding(finding("pow/randomx", 1, p))
	is := func(want minewarden.State, what string) {
		t.Helper()
		if inc, _ := co.Get(id); inc.State != want {
			t.Errorf("%s: %s, want %s", what, inc.State, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is(minewarden.Open, "found")
	r := minewarden.Receipt{Action: minewarden.Action{ID: "a", Op: "freeze"}, Done: at(2), OK: true}
	must(co.AddReceipt(id, r))
	is(minewarden.Contained, "frozen")
	co.Finding(finding("pow/randomx", 3, p))
	is(minewarden.Contained, "finding on its way")
	co.Finding(finding("pow/randomx", 4, tr.chain("systemd", "nomad", "xmrig#2")))
	is(minewarden.Open, "another process")
	r2 := minewarden.Receipt{Action: minewarden.Action{ID: "b", Op: "freeze"}, Done: at(5), OK: true}
	must(co.AddReceipt(id, r2))
	is(minewarden.Contained, "frozen again")
	r.Undone, r2.Undone = at(6), at(6)
	must(co.AddReceipt(id, r2))
	is(minewarden.Contained, "one of two undone")
	must(co.AddReceipt(id, r))
	is(minewarden.Open, "both undone")
	must(co.Close(id, "ada", "false alarm", at(7)))
	co.Finding(finding("stratum/login", 6.5, p))
	is(minewarden.Closed, "a late finding")
	co.Finding(finding("lineage/shell", 8, p))
	is(minewarden.Open, "a new finding")
	if inc, _ := co.Get(id); len(inc.Notes) != 1 || len(inc.Actions) != 2 {
		t.Errorf("%+v", inc)
	}
	if co.Close("nope", "", "", t0) == nil || co.AddReceipt("nope", r) == nil {
		t.Error("an unknown incident was changed")
	}
}

func TestSuppress(t *testing.T) {
	co := New(Config{Rules: rules, Suppress: func(f *minewarden.Finding, _ minewarden.Rule) (string, bool) {
		return "known", f.Process.Name == "xmrig"
	}})
	if id := co.Finding(finding("pow/randomx", 1, tree{}.chain("systemd", "xmrig"))); id != "" || co.Stats().Suppressed != 1 || co.Len() != 0 {
		t.Errorf("%q %+v", id, co.Stats())
	}
}

func TestBounds(t *testing.T) {
	co, tr := correlator(), tree{}
	p := tr.chain("systemd", "xmrig")
	f := finding("resource/cpu", 0, p)
	for i := range 3 * maxFindings {
		f.Subject = minewarden.Subject{Type: minewarden.SubjectURL, ID: fmt.Sprint(i)}
		f.Time = at(float64(i))
		co.Finding(f)
	}
	id := co.Finding(finding("pow/randomx", 9999, p)) // the worst finds room
	for i := range 2 * maxMembers {
		co.Event(&minewarden.Event{Time: at(10000), Process: p, Data: &minewarden.Fork{Child: minewarden.ProcessKey{PID: int32(5000 + i), Start: 1}}})
	}
	inc, _ := co.Get(id)
	if len(inc.Findings) != maxFindings || inc.More != 2*maxFindings+1 || inc.Severity != minewarden.Critical || len(inc.Members) != maxMembers {
		t.Errorf("%d findings, %d more, %s, %d members", len(inc.Findings), inc.More, inc.Severity, len(inc.Members))
	}
	co = correlator()
	for i := range maxIncidents + 10 {
		co.Finding(&minewarden.Finding{Time: at(float64(i)), Rule: "file/miner", Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: fmt.Sprint(i)}})
		if i%1000 == 0 {
			co.Changed()
		}
	}
	if co.Len() > maxIncidents || co.Stats().Forgotten == 0 || len(co.joins) > 3*maxIncidents {
		t.Errorf("%d incidents, %+v", co.Len(), co.Stats())
	}
}

func TestSameIDAgain(t *testing.T) {
	run := func() string {
		return correlator().Finding(finding("pow/randomx", 1, tree{}.chain("systemd", "nomad", "xmrig")))
	}
	if a, b := run(), run(); a != b || len(a) != 16 {
		t.Errorf("%s, %s", a, b)
	}
}

func BenchmarkFinding(b *testing.B) {
	co, tr := correlator(), tree{}
	p := tr.chain("systemd", "nomad", "sh", "xmrig")
	f := finding("pow/randomx", 0, p)
	for i := 0; b.Loop(); i++ {
		f.Time = t0.Add(time.Duration(i) * time.Millisecond)
		co.Finding(f)
	}
}

func BenchmarkEventOfNoMember(b *testing.B) {
	co, tr := correlator(), tree{}
	co.Finding(finding("pow/randomx", 0, tr.chain("systemd", "xmrig")))
	ev := &minewarden.Event{Process: tr.chain("systemd", "bash"), Data: &minewarden.Fork{}}
	for b.Loop() {
		co.Event(ev)
	}
}

// TestOddAncestor has a busy runtime that lives in memory, with many sessions below it, one of which runs a miner: only that
// miner, and the shell that was started for it, may be touched.
func TestOddAncestor(t *testing.T) {
	co, tr := correlator(), tree{}
	runtime, other := tr.chain("systemd", "runtime"), tr.chain("systemd", "runtime#2")
	for _, p := range []*minewarden.Process{runtime, other} {
		p.Exe, p.Package, p.Memfd, p.Existing = "/memfd:sealed", "", true, true
	}
	a, b := co.Finding(finding("lineage/shell", 1, runtime)), co.Finding(finding("lineage/shell", 1, other))
	if a == b {
		t.Error("two memory files of one name became one incident")
	}
	old, young := tr.add("bash", runtime), (*minewarden.Process)(nil)
	for _, name := range []string{"bash#session1", "bash#session2"} {
		co.Event(&minewarden.Event{Time: at(2), Process: tr.add(name, runtime), Data: &minewarden.Exec{Name: "bash"}})
		co.Event(&minewarden.Event{Time: at(2), Process: runtime, Data: &minewarden.Fork{Child: tr[name].Key}})
	}
	young = tr.add("bash#young", old)
	young.Key.Start += 1_000_000
	x := tr.add("xmrig", young)
	x.Key.Start += 1_000_010
	id := co.Finding(finding("pow/randomx", 3, x))
	inc, _ := co.Get(id)
	for _, m := range inc.Members {
		if want := m.Key == x.Key; (m.Severity >= minewarden.High) != want {
			t.Errorf("%s %s: %s, want grave: %t", m.Name, m.Key, m.Severity, want)
		}
	}
	if len(inc.Members) > 3 {
		t.Errorf("members: %+v", inc.Members)
	}
}
