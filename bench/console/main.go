// Console fills a data directory with incidents, starts minewarden on it, logs in as a browser does, and measures how long the
// API takes for each list and filter.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/store/sqlite"
)

// bar is how long the 95th percentile may take.
const bar = 50 * time.Millisecond

func main() {
	binary := flag.String("minewarden", "bin/minewarden", "the program")
	n := flag.Int("incidents", 10_000, "how many incidents, with ten findings each")
	rounds := flag.Int("rounds", 60, "requests of each kind")
	flag.Parse()
	if err := run(*binary, *n, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(binary string, n, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "bench-console-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	begin := time.Now()
	if err := fill(dir, n); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "filled in %s\n", time.Since(begin).Round(time.Second))
	agent, err := start(binary, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.stop()) }()
	if err := errors.Join(agent.login(), agent.quiet()); err != nil {
		return err
	}
	mid := incident(n / 2)
	page := "?after=" + url.QueryEscape(mid.Cursor()) + "&"
	kinds := [][2]string{
		{"first page", "?"},
		{"page in the middle", page},
		{"state", "?state=contained&"},
		{"severity", "?severity=critical&"},
		{"host, severity, state", "?host=web-3&severity=high&state=open&"},
		{"text: one incident", "?text=" + mid.Subject.Name + "&"},
		{"text: everywhere", "?text=mine&"},
		{"text: nowhere", "?text=nosuchthing&"},
		{"text: two letters, rare", "?text=qj&"},
		{"text: one letter", "?text=z&"},
		{"text and state", "?text=rule-0131&state=closed&"},
		{"rule", "?rule=sigma/rule-0131&"},
		{"rule prefix", "?rule=pow/&"},
		{"rule that no finding has", "?rule=none/&"},
		{"subject", "?subject=" + url.QueryEscape(mid.Subject.ID) + "&"},
		{"time", "?since=" + mid.Updated.Format(time.RFC3339) + "&until=" + mid.Updated.Add(time.Minute).Format(time.RFC3339) + "&"},
	}
	fmt.Printf("%d incidents, %d findings; %d requests of each kind, one after the other, pages of 50\n\n| request | kind | p50 ms | p95 ms | max ms |\n|---|---|---|---|---|\n", n, 10*n, rounds)
	var late []string
	measure := func(path, kind, query string) error {
		took := make([]time.Duration, rounds)
		for i := 0; i < rounds; {
			began := time.Now()
			err := agent.get(path + query)
			if errors.Is(err, errTooMany) { // the limit of requests that one session may send
				time.Sleep(time.Second)
				continue
			}
			if err != nil {
				return err
			}
			took[i] = time.Since(began)
			i++
		}
		slices.Sort(took)
		p95 := took[rounds*95/100]
		ms := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1000, 'f', 1, 64) }
		fmt.Printf("| %s | %s | %s | %s | %s |\n", path, kind, ms(took[rounds/2]), ms(p95), ms(took[rounds-1]))
		if p95 > bar {
			late = append(late, path+" "+kind)
		}
		return nil
	}
	for _, k := range kinds {
		if err := errors.Join(measure("/incidents", k[0], k[1]+"limit=50"), measure("/findings", k[0], k[1]+"limit=50")); err != nil {
			return err
		}
	}
	for _, path := range []string{"/overview", "/incidents/" + mid.ID, "/incidents/" + mid.ID + "/timeline", "/incidents/" + mid.ID + "/graph", "/actions", "/hosts/this/processes", "/sensors", "/rules"} {
		if err := measure(path, "", ""); err != nil {
			return err
		}
	}
	rss, err := agent.rss()
	if err != nil {
		return err
	}
	fmt.Printf("\nMemory of the agent after all that: %d MiB.\n", rss>>20)
	if len(late) > 0 {
		return fmt.Errorf("slower than %s: %s", bar, strings.Join(late, ", "))
	}
	return nil
}

var hosts = [...]string{"web-1", "web-2", "web-3", "db-1", "ci-1", "ci-2", "edge-1", "edge-2"}

// incident returns number i: names, rules and titles as various as those of a year on a busy host.
func incident(i int) minewarden.Incident {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 53 * time.Minute)
	key := minewarden.ProcessKey{Boot: "5f0c8f2e-8a1b-4d37-9a59-0d8a4a0e7b11", PID: int32(300 + i%30000), Start: uint64(i) * 977}
	name := fmt.Sprintf("%s%d", []string{"kdevtmpfsi", "xmrig", "nginx", "java", "python3", "systemd-netd"}[i%6], i)
	subject := minewarden.Subject{Type: minewarden.SubjectProcess, ID: key.String(), Name: name, PID: key.PID, Host: hosts[i%8]}
	inc := minewarden.Incident{
		ID: fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15), Subject: subject, State: []minewarden.State{minewarden.Open, minewarden.Contained, minewarden.Closed, minewarden.Closed}[i%4],
		Severity: minewarden.Severity(i % 5), Score: 0.9, Opened: at, Updated: at.Add(time.Minute), Changed: at, Host: hosts[i%8], Root: "process " + key.String(),
	}
	for m := range 4 {
		inc.Members = append(inc.Members, minewarden.Member{
			Key: minewarden.ProcessKey{Boot: key.Boot, PID: key.PID + int32(m), Start: key.Start + uint64(m)}, Parent: key, Name: name, Exe: fmt.Sprintf("/var/tmp/.%x/%s", i, name),
			Args: []string{name, "-o", fmt.Sprintf("pool-%d.example:3333", i%97), "--threads", "4"}, Since: at,
		})
	}
	for f := range 10 {
		rule, title := fmt.Sprintf("sigma/rule-%04d", (i*7+f*131)%1500), fmt.Sprintf("Behaviour number %d that miners and their droppers show", (i*7+f*131)%1500)
		if f == 0 {
			rule, title = []string{"pow/randomx", "stratum/login", "masquerade/kernel-thread", "lineage/service-chain"}[i%4], "The process computes what mines coins"
		}
		inc.Findings = append(inc.Findings, minewarden.IncidentFinding{
			Time: at, Last: at.Add(time.Duration(f) * time.Second), Count: f + 1, Rule: rule, Title: title, Severity: minewarden.Severity((i + f) % 5), Confidence: 0.9, Subject: subject,
			Lineage: "systemd > nomad > sh > " + name, Technique: []string{"T1496.001"}, Advice: "Look at the process, stop it, and find how it came.",
			Evidence: []minewarden.Evidence{{Key: "rounding_modes", Value: "606/416/376/474"}, {Key: "cpu", Value: "3.9 of 4"}, {Key: "exe", Value: fmt.Sprintf("/var/tmp/.%x/%s", i, name)}},
		})
	}
	if i%3 == 0 {
		inc.Actions = []minewarden.Receipt{{
			Action:  minewarden.Action{ID: fmt.Sprintf("freeze-%d", i), Responder: "process", Op: "freeze", Incident: inc.ID, Target: subject, Summary: "freeze " + name, Reversible: true},
			Started: at, Done: at.Add(time.Second), Who: "policy contain", Why: "pow/randomx", OK: true, Result: "4 processes frozen",
		}}
	}
	return inc
}

func fill(dir string, n int) (err error) {
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "incidents.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for i := range n {
		if err := s.Put(context.Background(), incident(i)); err != nil {
			return err
		}
	}
	return nil
}

var errTooMany = errors.New("too many requests")

type agent struct {
	cmd  *exec.Cmd
	page string // with the login link
	http *http.Client
}

// start runs the agent with one sensor: what is measured is the API.
func start(binary, dir string) (*agent, error) {
	conf := filepath.Join(dir, "minewarden.yaml")
	text := "disable: [sensors/ebpf, sensors/files, sensors/capture, sensors/journal, sensors/logfile, sensors/syslog]\nlisten: 127.0.0.1:0\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	a := &agent{cmd: exec.Command(binary, "up", "--data", dir, "--config", conf), http: &http.Client{Jar: jar, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, //nolint:gosec // a certificate of its own, on loopback
	}}}
	errs, err := a.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		if page, ok := strings.CutPrefix(lines.Text(), "console: "); ok {
			a.page = page
			go func() {
				for lines.Scan() {
					continue
				}
			}()
			return a, nil
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	return nil, errors.Join(errors.New("the agent announced no console"), a.stop())
}

func (a *agent) stop() error {
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return a.cmd.Wait()
}

func (a *agent) login() error {
	base, token, ok := strings.Cut(a.page, "/login#")
	if !ok {
		return fmt.Errorf("no login link in %q", a.page)
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return err
	}
	a.page = base
	resp, err := a.http.Post(base+"/api/v1/session/link", "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("login: %s", resp.Status)
	}
	return nil
}

func (a *agent) get(path string) error {
	resp, err := a.http.Get(a.page + "/api/v1" + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return errTooMany
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return nil
}

// quiet waits until the agent has taken up all those incidents: it gives thousands of them their deadlines at once, which it never met
// one by one.
func (a *agent) quiet() error {
	ticks := func() (int, error) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.cmd.Process.Pid))
		if err != nil {
			return 0, err
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		user, err1 := strconv.Atoi(f[11])
		system, err2 := strconv.Atoi(f[12])
		return user + system, errors.Join(err1, err2)
	}
	for range 30 {
		before, err := ticks()
		time.Sleep(2 * time.Second)
		after, err2 := ticks()
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		if after-before < 40 { // a fifth of a processor
			return nil
		}
	}
	fmt.Fprintln(os.Stderr, "the agent does not come to rest within a minute: measured all the same")
	return nil
}

// rss is what the agent holds in memory, in bytes.
func (a *agent) rss() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(v)[0])
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmRSS")
}
