package incidents

import (
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden"
)

const someHash = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

// closed returns a correlator with an incident that was closed a minute after it began.
func closed(t *testing.T, why string, f *minewarden.Finding) (*Correlator, string) {
	t.Helper()
	co := correlator()
	id := co.Finding(f)
	if err := co.Close(id, "user ann", why, at(60)); err != nil {
		t.Fatal(err)
	}
	return co, id
}

func with(f *minewarden.Finding, key, value string) *minewarden.Finding {
	f.Evidence = append(f.Evidence, minewarden.Evidence{Key: key, Value: value})
	return f
}

func named(f *minewarden.Finding, exe, hash string) *minewarden.Finding {
	p := *f.Process
	p.Exe, p.Package, p.SHA256 = exe, "", hash
	f.Process = &p
	return f
}

func on(rule string, seconds float64, path string) *minewarden.Finding {
	return &minewarden.Finding{
		Time: at(seconds), Rule: rule, Confidence: 0.8, Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: path},
		Evidence: []minewarden.Evidence{{Key: "k", Value: "v"}},
	}
}

func TestCameBack(t *testing.T) {
	const hour = 3600
	for name, c := range map[string]struct {
		first, again func(tree) *minewarden.Finding
		why          string
		back         bool
	}{
		"wallet": {
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 1, tr.chain("systemd", "a")), "wallet", "4A")
			},
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 2*hour, tr.chain("systemd", "b")), "wallet", "4A")
			}, "", true,
		},
		"another wallet": {
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 1, tr.chain("systemd", "a")), "wallet", "4A")
			},
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 2*hour, tr.chain("systemd", "b")), "wallet", "4B")
			}, "", false,
		},
		"after four days": {
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 1, tr.chain("systemd", "a")), "wallet", "4A")
			},
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 96*hour, tr.chain("systemd", "b")), "wallet", "4A")
			}, "", false,
		},
		"a false positive": {
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 1, tr.chain("systemd", "a")), "wallet", "4A")
			},
			func(tr tree) *minewarden.Finding {
				return with(finding("stratum/login", 2*hour, tr.chain("systemd", "b")), "wallet", "4A")
			}, "False positive: our own pool", false,
		},
		"hash under another name": {
			func(tr tree) *minewarden.Finding {
				return named(finding("pow/code", 1, tr.chain("systemd", "a")), "/tmp/a", someHash)
			},
			func(tr tree) *minewarden.Finding {
				return named(finding("pow/code", 50*hour, tr.chain("systemd", "b")), "/var/tmp/b", someHash)
			}, "", true,
		},
		"the same path": {
			func(tr tree) *minewarden.Finding {
				return named(finding("pow/code", 1, tr.chain("systemd", "a")), "/tmp/a", "")
			},
			func(tr tree) *minewarden.Finding {
				return named(finding("pow/code", 50*hour, tr.chain("systemd", "b")), "/tmp/a", "")
			}, "", true,
		},
		"the shell of a package": {
			func(tr tree) *minewarden.Finding { return finding("pow/code", 1, tr.chain("systemd", "sh")) },
			func(tr tree) *minewarden.Finding { return finding("pow/code", 50*hour, tr.chain("systemd", "sh#2")) }, "", false,
		},
		"lineage": {
			func(tr tree) *minewarden.Finding {
				return finding("lineage/shell", 1, tr.chain("systemd", "nomad", "sh", "wget"))
			},
			func(tr tree) *minewarden.Finding {
				return finding("lineage/shell", 50*hour, tr.chain("systemd", "nomad#2", "sh#2", "wget#2"))
			}, "", true,
		},
		"another service": {
			func(tr tree) *minewarden.Finding {
				return finding("lineage/shell", 1, tr.chain("systemd", "nomad", "sh", "wget"))
			},
			func(tr tree) *minewarden.Finding {
				return finding("lineage/shell", 50*hour, tr.chain("systemd", "redis", "sh#2", "wget#2"))
			}, "", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tr := tree{}
			why := c.why
			if why == "" {
				why = "cleaned"
			}
			co, old := closed(t, why, c.first(tr))
			id := co.Finding(c.again(tr))
			if id == old {
				t.Fatal("it joined the closed incident: the test wants another one")
			}
			now, _ := co.Get(id)
			before, _ := co.Get(old)
			plain, _ := Score(now.Findings)
			if !c.back {
				if len(now.Related) > 0 || len(before.Related) > 0 || now.Severity != plain {
					t.Errorf("related: %+v, %+v; severity %s", now.Related, before.Related, now.Severity)
				}
				return
			}
			if len(now.Related) != 1 || now.Related[0].Incident != old || !now.Related[0].Back || !strings.Contains(now.Related[0].Why, "came back") {
				t.Errorf("related: %+v", now.Related)
			}
			if len(before.Related) != 1 || before.Related[0].Incident != id || before.Related[0].Back || before.State != minewarden.Closed {
				t.Errorf("the old one: %s, %+v", before.State, before.Related)
			}
			if now.Severity != plain+1 || len(now.Notes) != 1 {
				t.Errorf("severity %s of findings that are %s; notes %+v", now.Severity, plain, now.Notes)
			}
			changed := map[string]bool{}
			for _, inc := range co.Changed() {
				changed[inc.ID] = true
			}
			if !changed[id] || !changed[old] {
				t.Error("not both are saved")
			}
		})
	}
}

func TestPersistencePathCameBack(t *testing.T) {
	const cron = "/etc/cron.d/x"
	co := New(Config{Host: "h", Rules: append([]minewarden.Rule{{ID: "persistence/changed", Severity: minewarden.Low}}, rules...)})
	tr := tree{}
	old := co.Finding(finding("pow/code", 1, tr.chain("systemd", "nomad", "sh", "xmrig")))
	f := finding("persistence/changed", 2, tr.chain("systemd", "nomad", "sh"))
	f.Subject = minewarden.Subject{Type: minewarden.SubjectFile, ID: cron}
	if id := co.Finding(f); id != old {
		t.Fatal("the cron line is another incident")
	}
	if err := co.Close(old, "user ann", "cleaned", at(60)); err != nil {
		t.Fatal(err)
	}
	id := co.Finding(on("persistence/changed", 7200, cron))
	inc, _ := co.Get(id)
	if id != old || inc.State != minewarden.Open || len(inc.Related) != 1 || inc.Severity != minewarden.Critical {
		t.Errorf("%s: %s, %+v, %s", id, inc.State, inc.Related, inc.Severity)
	}
}

func TestReopenedByWhatCameBack(t *testing.T) {
	co, tr := correlator(), tree{}
	id := co.Finding(finding("pow/code", 1, tr.chain("systemd", "nomad", "sh", "xmrig")))
	if err := co.AddReceipt(id, minewarden.Receipt{Action: minewarden.Action{ID: "a", Op: "kill", Incident: id}, OK: true, Done: at(10)}); err != nil {
		t.Fatal(err)
	}
	// One that was missed at the time is no return.
	co.Finding(finding("pow/code", 20, tr.chain("systemd", "nomad", "sh", "xmrig#2")))
	inc, _ := co.Get(id)
	if inc.State != minewarden.Open || len(inc.Related) != 0 || inc.Severity != minewarden.High {
		t.Fatalf("%s %s %+v", inc.State, inc.Severity, inc.Related)
	}
	if err := co.Close(id, "user ann", "cleaned", at(100)); err != nil {
		t.Fatal(err)
	}
	co.Finding(finding("pow/code", 7300, tr.chain("systemd", "nomad", "sh#3", "xmrig#3")))
	inc, _ = co.Get(id)
	if inc.State != minewarden.Open || inc.Severity != minewarden.Critical || len(inc.Related) != 1 || inc.Related[0].Incident != id || !inc.Related[0].Back {
		t.Errorf("%s %s %+v", inc.State, inc.Severity, inc.Related)
	}
	if last := inc.Notes[len(inc.Notes)-1]; last.Who != watchman || !strings.Contains(last.Text, "came back 2h0m0s after it was closed") {
		t.Errorf("%+v", last)
	}
}

// TestWatchSurvivesARestart loads what the store kept.
func TestWatchSurvivesARestart(t *testing.T) {
	tr := tree{}
	co, old := closed(t, "cleaned", with(finding("stratum/login", 1, tr.chain("systemd", "a")), "wallet", "4A"))
	inc, _ := co.Get(old)
	next := correlator()
	next.Load(inc)
	id := next.Finding(with(finding("stratum/login", 3600, tr.chain("systemd", "b")), "wallet", "4A"))
	back, _ := next.Get(id)
	if len(back.Related) != 1 || back.Related[0].Incident != old {
		t.Errorf("%+v", back.Related)
	}
	// And the raised severity is that of the incident that the store gives back, too.
	third := correlator()
	third.Load(back)
	third.Finding(with(finding("stratum/login", 3700, tr.chain("systemd", "b")), "wallet", "4A"))
	if again, _ := third.Get(id); again.Severity != back.Severity || again.Severity != minewarden.Critical {
		t.Errorf("severity %s, was %s", again.Severity, back.Severity)
	}
}

func TestWatchIsBounded(t *testing.T) {
	co, tr := correlator(), tree{}
	p := tr.chain("systemd", "a")
	id := ""
	for i := range 3 * maxMarks {
		f := finding("stratum/login", float64(i), p)
		f.Subject.ID = time.Duration(i).String()
		id = co.Finding(with(f, "wallet", "4"+f.Subject.ID))
	}
	if err := co.Close(id, "user ann", "cleaned", at(600)); err != nil {
		t.Fatal(err)
	}
	if len(co.watch) > maxMarks {
		t.Errorf("%d marks", len(co.watch))
	}
	if err := co.Reopen(id, "user ann", "not yet", at(601)); err != nil {
		t.Fatal(err)
	}
	if len(co.watch) != 0 {
		t.Errorf("%d marks of an open incident", len(co.watch))
	}
}
