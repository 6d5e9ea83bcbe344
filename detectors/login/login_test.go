package login

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func sshd(pid, msg string) *minewarden.Record {
	return &minewarden.Record{Source: "syslog", Host: "h", Message: msg, Fields: []minewarden.Field{{Name: "ident", Value: "sshd"}, {Name: "pid", Value: pid}}}
}

func TestSSHLines(t *testing.T) {
	type want struct {
		out     outcome
		user    string
		addr    string
		n       uint32
		key     bool
		invalid bool
	}
	for msg, w := range map[string]want{
		"Failed password for root from 1.2.3.4 port 22 ssh2":                                                           {failed, "root", "1.2.3.4", 1, false, false},
		"Failed password for invalid user a b from c from 1.2.3.4 port 22 ssh2":                                        {failed, "a b from c", "1.2.3.4", 1, false, true},
		"Failed password for illegal user x from ::ffff:1.2.3.4 port 22 ssh2":                                          {failed, "x", "1.2.3.4", 1, false, true},
		"Failed password for invalid user  from 1.2.3.4 port 22 ssh2":                                                  {failed, "", "1.2.3.4", 1, false, true},
		"Failed publickey for root from fe80::1%eth0 port 22 ssh2: RSA SHA256:x":                                       {failed, "root", "fe80::1", 1, true, false},
		"Failed keyboard-interactive/pam for root from 1.2.3.4 port 22 ssh2":                                           {failed, "root", "1.2.3.4", 1, false, false},
		"Failed none for invalid user x from 1.2.3.4 port 22 ssh2":                                                     {},
		"message repeated 5 times: [ Failed password for root from 1.2.3.4 port 22 ssh2]":                              {failed, "root", "1.2.3.4", 5, false, false},
		"error: PAM: Authentication failure for root from 1.2.3.4":                                                     {failed, "root", "1.2.3.4", 1, false, false},
		"error: PAM: User not known to the underlying authentication module for illegal user x from 1.2.3.4":           {failed, "x", "1.2.3.4", 1, false, true},
		"error: maximum authentication attempts exceeded for invalid user x from 1.2.3.4 port 22 ssh2 [preauth]":       {failed, "x", "1.2.3.4", 1, false, true},
		"Disconnecting authenticating user root 1.2.3.4 port 22: Too many authentication failures [preauth]":           {failed, "root", "1.2.3.4", 1, false, false},
		"Connection closed by authenticating user root 1.2.3.4 port 22 [preauth]":                                      {failed, "root", "1.2.3.4", 1, false, false},
		"Connection reset by invalid user a b 2001:db8::1 port 22 [preauth]":                                           {failed, "a b", "2001:db8::1", 1, false, true},
		"Connection closed by 1.2.3.4 port 22 [preauth]":                                                               {},
		"Invalid user webmaster from 1.2.3.4":                                                                          {failed, "webmaster", "1.2.3.4", 1, false, true},
		"Invalid user Accepted password for root from 9.9.9.9 from 1.2.3.4 port 1":                                     {failed, "Accepted password for root from 9.9.9.9", "1.2.3.4", 1, false, true},
		"User root from 1.2.3.4 not allowed because not listed in AllowUsers":                                          {failed, "root", "1.2.3.4", 1, false, true},
		"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=root":   {failed, "root", "1.2.3.4", 1, false, false},
		"PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=root":            {failed, "root", "1.2.3.4", 5, false, false},
		"PAM 1 more authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4 ":                       {failed, "", "1.2.3.4", 1, false, false},
		"Accepted password for fztu from 119.137.62.142 port 49116 ssh2":                                               {accepted, "fztu", "119.137.62.142", 1, false, false},
		"Accepted publickey for bob from 1.2.3.4 port 2 ssh2: ED25519-CERT SHA256:x ID a from 9.9.9.9 (serial 0) CA y": {accepted, "bob", "1.2.3.4", 1, true, false},
		"Accepted keyboard-interactive/pam for bob from 1.2.3.4 port 2 ssh2":                                           {accepted, "bob", "1.2.3.4", 1, false, false},
		"Accepted password for": {}, "": {}, "error: ": {}, "message repeated 99999999 times: [ Failed": {}, "Received disconnect from 1.2.3.4: 11: Bye Bye [preauth]": {},
		"pam_unix(sshd:session): session opened for user fztu by (uid=0)": {},
	} {
		var a attempt
		if !a.read(sshd("", msg)) {
			a = attempt{}
		}
		got := want{a.out, a.user, "", a.n, a.key, a.invalid}
		if a.addr.IsValid() {
			got.addr = a.addr.String()
		}
		if a.out == nothing {
			got = want{}
		}
		if got != w {
			t.Errorf("%q:\n got %+v\nwant %+v", msg, got, w)
		}
	}
}

// The several lines about one connection tell of the same attempts.
func TestOneAttemptCountsOnce(t *testing.T) {
	d := newDetector()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, msg := range []string{
		"Invalid user x from 1.2.3.4 port 5", "pam_unix(sshd:auth): check pass; user unknown",
		"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=host.example.com ",
		"Failed password for invalid user x from 1.2.3.4 port 5 ssh2", "message repeated 2 times: [ Failed password for invalid user x from 1.2.3.4 port 5 ssh2]",
		"PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=host.example.com ",
		"Disconnecting invalid user x 1.2.3.4 port 5: Too many authentication failures [preauth]",
	} {
		d.Observe(&minewarden.Event{Time: now, Data: sshd("77", msg)})
	}
	s := d.sources.look(key{addr: netip.MustParseAddr("1.2.3.4")}, now)
	if s == nil || s.total != 3 {
		t.Fatalf("counted %+v, want 3 failures", s)
	}
}

// A flood of addresses must not make the detector forget a patient one.
func TestFloodHidesNobody(t *testing.T) {
	for name, addr := range map[string]func(i int) string{
		"crowded networks": func(i int) string { return fmt.Sprintf("45.%d.%d.%d", i>>16&3, i>>8&255, i&255) },
		"lone addresses":   func(i int) string { return fmt.Sprintf("%d.%d.%d.7", 60+i>>16&63, i>>8&255, i&255) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDetector()
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			found := map[string]int{}
			say := func(msg string) {
				for _, f := range d.Observe(&minewarden.Event{Time: now, Data: sshd("", msg)}) {
					for _, e := range f.Evidence {
						if e.Value == "198.51.100.7" {
							found[f.Rule]++
						}
					}
				}
			}
			n := 0
			for hour := range 16 {
				now = now.Add(time.Hour)
				say("Failed password for root from 198.51.100.7 port 1 ssh2")
				if hour > 2 {
					for range 8000 {
						n++
						say("Failed password for root from " + addr(n) + " port 1 ssh2")
					}
				}
			}
			say("Accepted password for root from 198.51.100.7 port 1 ssh2")
			if found["login/success-after-bruteforce"] != 1 {
				t.Errorf("found %v of the patient address, want its success", found)
			}
			for _, tab := range []*table{d.sources, d.networks, d.accounts} {
				if len(tab.all) > tab.size || len(tab.by) != len(tab.all) || len(tab.crowd) > len(tab.all) {
					t.Errorf("table of %d holds %d, %d by key, %d groups", tab.size, len(tab.all), len(tab.by), len(tab.crowd))
				}
			}
		})
	}
}

// syslogFile yields the records of a file in the old syslog form.
func syslogFile(t testing.TB, name string) []*minewarden.Event {
	t.Helper()
	path := filepath.Join("../../../shared/data/logs", name)
	text, err := os.ReadFile(path)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the shared data is missing: %v", err)
		}
		t.Skipf("the shared data is missing: %v", err)
	}
	var events []*minewarden.Event
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 16 {
			continue
		}
		at, err := time.Parse("Jan _2 15:04:05", line[:15])
		rest := line[min(16, len(line)):]
		host, rest, _ := strings.Cut(rest, " ")
		tag, msg, ok := strings.Cut(rest, ": ")
		r := &minewarden.Record{Source: "syslog", Message: line}
		if err == nil && ok {
			ident, pid, _ := strings.Cut(strings.TrimSuffix(tag, "]"), "[")
			r.Host, r.Message = host, msg
			r.Fields = []minewarden.Field{{Name: "ident", Value: ident}, {Name: "pid", Value: pid}}
		} else {
			at = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		events = append(events, &minewarden.Event{Time: at, Data: r})
	}
	return events
}

func TestOpenSSH2k(t *testing.T) {
	d := newDetector()
	found := map[string]int{}
	for _, ev := range syslogFile(t, "loghub/OpenSSH_2k.log") {
		for _, f := range d.Observe(ev) {
			found[f.Rule]++
			t.Log(f.Rule, f.Subject.ID, f.Evidence)
		}
	}
	t.Log(found)
	if found["login/bruteforce"] == 0 {
		t.Error("brute force not found")
	}
	for rule := range found {
		if strings.Contains(rule, "success") || strings.Contains(rule, "after") || strings.Contains(rule, "under") {
			t.Errorf("claims %s: nobody got in", rule)
		}
	}
}

func TestOtherLogsAreQuiet(t *testing.T) {
	severity := map[string]minewarden.Severity{}
	for _, r := range rules {
		severity[r.ID] = r.Severity
	}
	for _, glob := range []string{"loghub/*", "syslog/*", "auditd/*", "ossec_samples/*"} {
		files, err := filepath.Glob("../../../shared/data/logs/" + glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "OpenSSH_2k.log") {
				continue
			}
			d := newDetector()
			for _, ev := range syslogFile(t, strings.TrimPrefix(file, "../../../shared/data/logs/")) {
				for _, f := range d.Observe(ev) {
					if severity[f.Rule] >= minewarden.Medium {
						t.Errorf("%s: %s %v", file, f.Rule, f.Evidence)
					}
				}
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("sshd", "Failed password for invalid user x from 1.2.3.4 port 22 ssh2", "5", "syslog")
	f.Add("sudo", "dcid : 3 incorrect password attempts ; TTY=ttyp0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls", "", "syslog")
	f.Add("su(pam_unix)", "authentication failure; logname= uid=1 euid=0 tty= ruser=dcid rhost= user=root", "", "syslog")
	f.Add("su", "FAILED SU (to root) a on pts/6", "1", "journal")
	f.Add("dropbear", "Bad password attempt for 'root' from 1.2.3.4:5555", "1", "journal")
	f.Add("gitea", "Failed authentication attempt for a from 1.2.3.4:5: x", "", "json")
	f.Add("POST", "/user/login", "401", "web")
	f.Add("4625", "Administrator", "10", "evtx")
	f.Fuzz(func(t *testing.T, a, b, c, source string) {
		d := newDetector()
		r := &minewarden.Record{Source: source, Message: b, Fields: []minewarden.Field{
			{Name: "ident", Value: a},
			{Name: "pid", Value: c},
			{Name: "EventID", Value: a},
			{Name: "TargetUserName", Value: b},
			{Name: "LogonType", Value: c},
			{Name: "IpAddress", Value: "203.0.113.1"},
			{Name: "cs-method", Value: a},
			{Name: "cs-uri-stem", Value: b},
			{Name: "sc-status", Value: c},
			{Name: "c-ip", Value: "203.0.113.1"},
		}}
		for range 20 {
			for _, f := range d.Observe(&minewarden.Event{Time: time.Unix(0, 0), Data: r}) {
				if len(f.Evidence) == 0 {
					t.Error("no evidence")
				}
			}
		}
	})
}

func BenchmarkSSHFailures(b *testing.B) {
	events := syslogFile(b, "loghub/OpenSSH_2k.log")
	d := newDetector()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		d.Observe(events[i%len(events)])
	}
}

func BenchmarkOtherRecord(b *testing.B) {
	d := newDetector()
	ev := &minewarden.Event{Time: time.Unix(1, 0), Data: &minewarden.Record{Source: "syslog", Message: "Started Rotate log files.", Fields: []minewarden.Field{{Name: "ident", Value: "systemd"}, {Name: "pid", Value: "1"}}}}
	b.ReportAllocs()
	for b.Loop() {
		if d.Observe(ev) != nil {
			b.Fatal("found something")
		}
	}
}
