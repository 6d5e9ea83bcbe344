package alerts

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

// hostile is what an attacker may call a process.
const hostile = "a|b=c\\d]\"e\r\nf\x1b[31m<at user_id=\"all\">@everyone</at><!channel> [x](javascript:1) \u202e =cmd|' /C calc'!A0"

var when = time.Date(2026, 11, 2, 3, 4, 5, 678000000, time.UTC)

func incident(id string) minewarden.Incident {
	return minewarden.Incident{
		ID: id, State: minewarden.Open, Severity: minewarden.Critical, Score: 0.99, Opened: when, Updated: when, Changed: when, Host: "web-1",
		Subject: minewarden.Subject{Type: minewarden.SubjectProcess, ID: "b/7@9", Name: hostile, PID: 7},
		Findings: []minewarden.IncidentFinding{{
			Time: when, Last: when, Rule: "pow/randomx", Title: "RandomX is being computed", Severity: minewarden.Critical, Confidence: 0.99,
			Technique: []string{"T1496.001"}, Evidence: []minewarden.Evidence{{Key: "rounding_modes", Value: hostile}}, Advice: "Stop it.",
		}},
	}
}

func receipt(id string, ok bool) minewarden.Receipt {
	return minewarden.Receipt{Action: minewarden.Action{ID: id, Op: "freeze", Summary: "freeze " + hostile}, Done: when, OK: ok, Who: "policy contain", Why: "pow/randomx", Result: "1 process"}
}

func TestNews(t *testing.T) {
	inc := incident("i1")
	kindsOf := func(list []Alert) (out []string) {
		for _, a := range list {
			out = append(out, a.Kind)
		}
		return out
	}
	inc.Severity = minewarden.Medium
	list, before := news(&inc, told{}, false, when)
	steps := []struct {
		change func()
		want   []string
	}{
		{func() {}, nil},
		{func() { inc.Severity = minewarden.Critical }, []string{Worse}},
		{func() { inc.Actions = append(inc.Actions, receipt("a1", true)); inc.State = minewarden.Contained }, []string{Contained, Done}},
		{func() { inc.Actions = append(inc.Actions, receipt("a2", false)) }, []string{Failed}},
		{func() { inc.Actions[0].Undone = when.Add(time.Hour); inc.State = minewarden.Open }, []string{Reopened, Undone}},
		{func() { inc.State = minewarden.Closed }, []string{Closed}},
		{func() {}, nil},
	}
	if diff := cmp.Diff([]string{Opened}, kindsOf(list)); diff != "" {
		t.Error(diff)
	}
	for i, s := range steps {
		s.change()
		list, before = news(&inc, before, true, when)
		if diff := cmp.Diff(s.want, kindsOf(list)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

// receiver is a web server that takes what it is told to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	answer string
	bodies []string
	heads  []http.Header
	urls   []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusOK, answer: `{"errcode":0}`}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.status == http.StatusOK {
			r.bodies, r.heads, r.urls = append(r.bodies, string(body)), append(r.heads, req.Header), append(r.urls, req.URL.String())
		}
		w.WriteHeader(r.status)
		io.WriteString(w, r.answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) say(status int, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.answer = status, answer
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies)
}

func start(t *testing.T, dir string, cfg Config) (*Dispatcher, func()) {
	t.Helper()
	d, err := New(t.Context(), cfg, dir, "1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); d.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			<-ended
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return d, stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

func config(outputs ...Output) Config {
	c := DefaultConfig()
	c.Outputs = outputs
	return c
}

// TestNothingIsLost tells while the receiver is down, ends, and begins again: everything arrives once, in order, at each output.
func TestNothingIsLost(t *testing.T) {
	dir := t.TempDir()
	down, up := newReceiver(t), newReceiver(t)
	down.say(http.StatusServiceUnavailable, "")
	cfg := config(Output{Name: "down", Type: "webhook", URL: down.URL}, Output{Name: "up", Type: "webhook", URL: up.URL})
	d, stop := start(t, dir, cfg)
	for i := range 20 {
		d.Offer(incident(fmt.Sprintf("i%02d", i)))
	}
	until(t, "the output that is up has all", func() bool { return len(up.got()) == 20 })
	stop()

	down.say(http.StatusOK, "")
	d, _ = start(t, dir, cfg)
	for i := range 20 { // as at every start: what was told is not told again
		d.Offer(incident(fmt.Sprintf("i%02d", i)))
	}
	until(t, "the output that was down has all", func() bool { return len(down.got()) >= 20 })
	d.Tell(Notice(Health, "k", "h", "a sensor is off", minewarden.High, when))
	until(t, "the last is there", func() bool { return len(down.got()) == 21 && len(up.got()) == 21 })
	for i, body := range down.got()[:20] {
		var a Alert
		if err := json.Unmarshal([]byte(body), &a); err != nil || a.Incident == nil || a.Incident.ID != fmt.Sprintf("i%02d", i) {
			t.Errorf("%d: %v, %s", i, err, body)
		}
	}
	until(t, "it is known that all were sent", func() bool { // the receiver has the last one before its answer is here
		st, err := d.Status(t.Context())
		return err == nil && st[0].Sent == 21 && st[0].Waiting == 0
	})
}

func TestRefusedDoesNotHoldUp(t *testing.T) {
	r := newReceiver(t)
	r.say(http.StatusBadRequest, "")
	d, _ := start(t, t.TempDir(), config(Output{Name: "o", Type: "webhook", URL: r.URL}))
	d.Offer(incident("i1"))
	until(t, "it is given up", func() bool {
		st, err := d.Status(t.Context())
		return err == nil && st[0].Refused == 1
	})
	r.say(http.StatusOK, "")
	d.Offer(incident("i2"))
	until(t, "the next arrives", func() bool { return len(r.got()) == 1 })
}

func TestTooManyWait(t *testing.T) {
	r := newReceiver(t)
	r.say(http.StatusServiceUnavailable, "")
	cfg := config(Output{Name: "o", Type: "webhook", URL: r.URL})
	cfg.Max = 5
	d, _ := start(t, t.TempDir(), cfg)
	for i := range 9 {
		d.Offer(incident(fmt.Sprint("i", i)))
	}
	until(t, "what was lost is counted", func() bool {
		st, err := d.Status(t.Context())
		return err == nil && st[0].Lost == 4 && st[0].Waiting == 5
	})
}

func TestChosen(t *testing.T) {
	r := newReceiver(t)
	d, _ := start(t, t.TempDir(), config(Output{Name: "o", Type: "webhook", URL: r.URL, Severity: "high", Kinds: []string{"action"}}))
	inc := incident("i1")
	inc.Actions = []minewarden.Receipt{receipt("a1", true)}
	low := incident("i2")
	low.Severity, low.Actions = minewarden.Medium, inc.Actions
	d.Offer(low)
	d.Offer(inc)
	until(t, "the action of the grave one", func() bool { return len(r.got()) == 1 })
	var a Alert
	if err := json.Unmarshal([]byte(r.got()[0]), &a); err != nil || a.Kind != Done || a.Incident.ID != "i1" {
		t.Errorf("%v, %+v", err, a)
	}
}

// TestChats posts to each kind of chat and looks for what would act.
func TestChats(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{"slack", "teams", "dingtalk", "feishu", "wecom", "webhook"} {
		r := newReceiver(t)
		w, err := newOutput(Output{Name: "o", Type: typ, URL: r.URL + "/hook?access_token=t", SecretFile: key}, "1")
		if err != nil {
			t.Fatal(err)
		}
		inc := incident("i1")
		a := ofIncident(Opened, &inc, when)
		if err := w.send(t.Context(), &a); err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		body := r.got()[0]
		if !json.Valid([]byte(body)) {
			t.Errorf("%s: no JSON: %s", typ, body)
		}
		for _, bad := range []string{"\x1b", "\u202e"} {
			if typ != "webhook" && strings.Contains(body, bad) {
				t.Errorf("%s: %q in %s", typ, bad, body)
			}
		}
		acts := map[string][]string{
			"slack": {"<!channel>", "<at"}, "teams": {"[x]("}, "dingtalk": {"@everyone"}, "wecom": {"@everyone"}, "feishu": {"<at", `\u003cat`},
		}
		var decoded any
		if err := json.Unmarshal([]byte(body), &decoded); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(decoded)
		for _, bad := range acts[typ] {
			if strings.Contains(text, bad) {
				t.Errorf("%s: %q acts in %s", typ, bad, text)
			}
		}
		switch typ {
		case "dingtalk":
			if !strings.Contains(r.urls[0], "sign=") || !strings.Contains(r.urls[0], "access_token=t") {
				t.Errorf("dingtalk is not signed: %s", r.urls[0])
			}
		case "feishu":
			if !strings.Contains(body, `"sign"`) {
				t.Error("feishu is not signed")
			}
		case "webhook":
			if r.heads[0].Get("X-Minewarden-Signature") == "" || r.heads[0].Get("Idempotency-Key") != a.ID {
				t.Errorf("headers %v", r.heads[0])
			}
		}
		// Chats say no with status 200.
		r.say(http.StatusOK, `{"errcode":310000,"errmsg":"sign not match","code":19021,"msg":"sign match fail"}`)
		err = w.send(t.Context(), &a)
		if chat := typ == "dingtalk" || typ == "feishu" || typ == "wecom"; chat != (err != nil) {
			t.Errorf("%s: a refusal with status 200 gives %v", typ, err)
		}
	}
}

// TestSecretsStaySecret lets a post fail and looks for its address in the error.
func TestSecretsStaySecret(t *testing.T) {
	w, err := newOutput(Output{Name: "o", Type: "slack", URL: "http://127.0.0.1:1/services/SECRET"}, "1")
	if err != nil {
		t.Fatal(err)
	}
	a := Notice(Test, "", "h", "t", minewarden.High, when)
	if err := w.send(t.Context(), &a); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v", err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	other := newReceiver(t)
	from := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer from.Close()
	w, err := newOutput(Output{Name: "o", Type: "webhook", URL: from.URL}, "1")
	if err != nil {
		t.Fatal(err)
	}
	a := Notice(Test, "", "h", "t", minewarden.High, when)
	if err := w.send(t.Context(), &a); err == nil || len(other.got()) != 0 {
		t.Errorf("%v; %d posts where nobody sent us", err, len(other.got()))
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	for _, format := range Formats {
		f := &file{Output{Path: path, Format: format}, "1"}
		inc := incident("i1")
		inc.Actions = []minewarden.Receipt{receipt("a1", false)}
		list, _ := news(&inc, told{}, false, when)
		for i := range list {
			if err := f.send(t.Context(), &list[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for in := bufio.NewScanner(strings.NewReader(string(text))); in.Scan(); n++ {
		if !json.Valid(in.Bytes()) {
			t.Errorf("line %d is no JSON: %s", n+1, in.Text())
		}
	}
	if n != 6 {
		t.Errorf("%d lines, want 6", n)
	}
	full := &file{Output{Path: "/dev/full"}, "1"}
	a := Notice(Test, "", "h", "t", minewarden.High, when)
	if err := full.send(t.Context(), &a); err == nil {
		t.Error("a full disk was taken for success")
	}
}

// TestOCSF checks what the schema requires of each class.
func TestOCSF(t *testing.T) {
	inc := incident("i1")
	inc.Actions = []minewarden.Receipt{receipt("a1", true)}
	list, _ := news(&inc, told{}, false, when)
	inc.State = minewarden.Closed
	list = append(list, ofIncident(Closed, &inc, when), Notice(Health, "k", "h", "x", minewarden.High, when))
	want := []int{2004, 7001, 2005, 2004}
	for i := range list {
		var e map[string]any
		b, err := Encode(&list[i], "ocsf", "1")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		class := int(e["class_uid"].(float64))
		if class != want[i] {
			t.Errorf("%s: class %d, want %d", list[i].Kind, class, want[i])
		}
		required := []string{"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
		switch class {
		case 2004:
			required = append(required, "finding_info")
		case 2005:
			required = append(required, "finding_info_list", "status_id")
		case 7001:
			required = append(required, "command_uid")
		}
		for _, k := range required {
			if _, ok := e[k]; !ok {
				t.Errorf("%s: %s is missing", list[i].Kind, k)
			}
		}
		if e["type_uid"].(float64) != e["class_uid"].(float64)*100+e["activity_id"].(float64) {
			t.Errorf("%s: type_uid %v", list[i].Kind, e["type_uid"])
		}
	}
}

func TestConfig(t *testing.T) {
	good := Output{Name: "o", Type: "slack", URL: "https://chat.example/x"}
	for name, change := range map[string]func(*Output){
		"name": func(o *Output) { o.Name = "a b" }, "type": func(o *Output) { o.Type = "pager" }, "no url": func(o *Output) { o.URL = "" },
		"two urls": func(o *Output) { o.URLFile = "/x" }, "scheme": func(o *Output) { o.URL = "file:///etc/passwd" }, "severity": func(o *Output) { o.Severity = "bad" },
		"kinds": func(o *Output) { o.Kinds = []string{"incidents"} }, "template": func(o *Output) { o.Template = "{{" },
		"smtp": func(o *Output) { o.Type = "smtp" }, "syslog": func(o *Output) { o.Type, o.Address = "syslog", "x" },
		"protocol": func(o *Output) { o.Type, o.Address, o.Protocol = "cef", "h:1", "quic" }, "snmp 2c": func(o *Output) { o.Type, o.Address, o.Version = "snmp", "h:1", "2c" },
		"snmp 3": func(o *Output) { o.Type, o.Address = "snmp", "h:1" }, "snmp 1": func(o *Output) { o.Type, o.Address, o.Version = "snmp", "h:1", "1" },
		"file": func(o *Output) { o.Type, o.Path = "file", "x" }, "format": func(o *Output) { o.Format = "xml" },
	} {
		o := good
		change(&o)
		c := config(o)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c := config(good)
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c = config(good, good); c.Validate() == nil {
		t.Error("two outputs of one name")
	}
}

func TestTemplate(t *testing.T) {
	x, err := newText(`{{upper .Kind}} {{json .Text}} {{range .Incident.Rules}}{{.}}{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	inc := incident("i1")
	a := ofIncident(Opened, &inc, when)
	if got := x.of(&a); !strings.HasPrefix(got, "INCIDENT.OPENED \"new, critical") || !strings.HasSuffix(got, "pow/randomx") {
		t.Errorf("%q", got)
	}
	n := Notice(Test, "", "h", "t", minewarden.High, when)
	if got := x.of(&n); !strings.Contains(got, "the template failed") || !strings.HasPrefix(got, "t on h") {
		t.Errorf("without an incident: %q", got)
	}
	endless, err := newText(`{{define "x"}}{{.Text}}{{template "x" .}}{{end}}{{template "x" .}}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := endless.of(&n); !strings.Contains(got, "the template failed") {
		t.Errorf("an endless one: %d bytes", len(got))
	}
}

// TestEncodedMarksAreEscaped: what hides or reorders text acts in no viewer, and the value stays the same.
func TestEncodedMarksAreEscaped(t *testing.T) {
	const name = "a\u202eb\u009b31m"
	a := Alert{Kind: Opened, Finding: &minewarden.IncidentFinding{Title: name, Rule: "pow/randomx"}, Incident: &Summary{ID: "i1", Subject: minewarden.Subject{Name: name}}, Text: name}
	for _, format := range Formats {
		b, err := Encode(&a, format, "1")
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b) || strings.ContainsAny(string(b), "\u202e\u009b") || !strings.Contains(string(b), `a\u202eb\u009b31m`) {
			t.Errorf("%s: %q", format, b)
		}
	}
}
