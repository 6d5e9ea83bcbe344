package credentials

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/responders/internal/accounts"
	"github.com/minewarden/minewarden/responders/internal/edit"
)

const (
	goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGo0Z29vZGtleWdvb2RrZXlnb29ka2V5Z29vZGtleTEy admin@desk"
	evilKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEV2aWxrZXlldmlsa2V5ZXZpbGtleWV2aWxrZXlldmls root@localhost"
	hash    = "$6$saltsalt$Zm9vYmFyYmF6"
)

// victim is a tree as a host has it.
var victim = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nbob:x:1000:1000:Bob:/home/bob:/bin/bash\neve:x:1001:1001::/home/eve:/bin/bash\n" +
		"backup:x:34:34::/var/backups:/usr/sbin/nologin\nadm2:x:1002:1002::/home/adm2:/bin/bash\n",
	"/etc/shadow":                    "root:" + hash + "r:19000:0:99999:7:::\nbob:" + hash + "b:19001:0:99999:7:::\neve:" + hash + "e:19002:0:99999:7:::\nbackup:*:19000:0:99999:7:::\nadm2:!:19000:0:99999:7:::\n",
	"/etc/group":                     "root:x:0:\nsudo:x:27:bob,adm2\nshared:x:50:eve\n",
	"/etc/.pwd.lock":                 "",
	"/root/.ssh/authorized_keys":     "# keys\n" + goodKey + "\n" + evilKey + "\n",
	"/home/bob/.ssh/authorized_keys": "command=\"/bin/x y\",no-pty " + evilKey + "\n" + goodKey,
	"/home/bob/.ssh/known_hosts":     "web1,10.0.0.7 ssh-ed25519 AAAA\n|1|abc=|def= ssh-ed25519 AAAA\n@cert-authority *.x ssh-rsa AAAA\ndb1 ssh-rsa AAAA\n",
	"/home/eve/.ssh/known_hosts":     "files ssh-rsa AAAA\n",
	"/home/adm2/.ssh/known_hosts":    "web2 ssh-rsa AAAA\n",
	"/home/bob/.ssh/id_rsa":          "private",
	"/home/eve/.ssh/id_ed25519":      "private",
	"/home/eve/.ssh/id_ed25519.pub":  "public",
	"/home/eve/.aws/credentials":     "[default]\naws_secret_access_key = hunter2\n",
	"/home/eve/.netrc":               "",
	"/home/bob/.vault-token":         "hunter2",
	"/srv/other":                     "x",
	"/etc/kubernetes/admin.conf":     "hunter2",
	"/etc/gitea/app.ini":             "hunter2",
}

var modes = map[string]fs.FileMode{"/etc/passwd": 0o644, "/etc/group": 0o644, "/etc/gitea/app.ini": 0o640, "/home/bob": 0o750}

func owner(path string) int {
	switch {
	case strings.HasPrefix(path, "/home/bob"):
		return 1000
	case strings.HasPrefix(path, "/home/eve"):
		return 1001
	}
	return 0
}

func makeTree(t *testing.T) string {
	t.Helper()
	sensortest.Root(t)
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(1_700_000_000, 987_654_321)
	must(os.Chmod(dir, 0o755))
	for path, text := range victim {
		must(os.MkdirAll(filepath.Dir(dir+path), 0o755))
		must(os.WriteFile(dir+path, []byte(text), 0o600))
	}
	must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(path, dir)
		gid := owner(rel)
		if rel == "/etc/gitea/app.ini" {
			gid = 50
		}
		if err := os.Lchown(path, owner(rel), gid); err != nil {
			return err
		}
		if mode, ok := modes[rel]; ok {
			if err := os.Chmod(path, mode); err != nil {
				return err
			}
		}
		return os.Chtimes(path, at, at)
	}))
	must(unix.Setxattr(dir+"/etc/shadow", "user.origin", []byte("kept"), 0))
	return dir
}

func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		text := ""
		if d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			buf := make([]byte, 256)
			n, err := unix.Lgetxattr(path, "user.origin", buf)
			if err != nil {
				n = 0
			}
			text = string(buf[:n]) + "\n" + string(b)
		}
		out[strings.TrimPrefix(path, dir)] = fmt.Sprintf("%o %d:%d %d.%09d %d\n%s", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Nlink, text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func newResponder(t *testing.T, root, data string, protect ...string) *Responder {
	t.Helper()
	r, err := New(minewarden.Env{Data: data, Decode: func(v any) error { c := v.(*Config); c.Root, c.Protect = root, protect; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return r.(*Responder)
}

// incident is one of a login as bob that left a key, with a miner that ran as eve.
func incident() minewarden.Incident {
	eve := uint32(1001)
	return minewarden.Incident{
		ID: "i1", Members: []minewarden.Member{{Key: minewarden.ProcessKey{Boot: "another", PID: 1 << 20, Start: 1}, Name: "x", Severity: minewarden.Critical, UID: &eve}},
		Findings: []minewarden.IncidentFinding{
			{Rule: "login/guessed", Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectAccount, ID: "bob"}},
			{Rule: "login/guessed", Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectService, ID: "sshd"}, Evidence: []minewarden.Evidence{{Key: "user", Value: "root"}}},
			{
				Rule: "persistence/intruder", Severity: minewarden.High, Subject: minewarden.Subject{Type: minewarden.SubjectFile, ID: "/root/.ssh/authorized_keys"},
				Evidence: []minewarden.Evidence{{Key: "text", Value: "…" + evilKey[len(evilKey)-60:]}},
			},
		},
	}
}

func todoOf(t *testing.T, r *Responder, inc minewarden.Incident) []minewarden.Action {
	t.Helper()
	todo, _ := plan(t, r, inc)
	return todo
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
	before := snapshot(t, dir)
	todo, refused := plan(t, newResponder(t, dir, t.TempDir()), incident())
	var got []string
	for _, a := range todo {
		got = append(got, a.Op+" "+a.Target.ID)
		if s := fmt.Sprint(a); strings.Contains(s, "hunter2") || strings.Contains(s, "saltsalt") {
			t.Errorf("a secret is shown: %s", s)
		}
	}
	want := []string{
		"expire-password bob", "lock-account bob", "expire-password eve", "lock-account eve", "revoke-key /root/.ssh/authorized_keys", "revoke-key /home/bob/.ssh/authorized_keys",
		"clean-known-hosts /home/eve/.ssh/known_hosts", "rotate-credentials credentials that the lineage could read",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	const isRoot = `account "root" is root, who is never locked out: change its password yourself`
	if diff := cmp.Diff([]string{"expire-password root: " + isRoot, "lock-account root: " + isRoot}, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	list := strings.Join(todo[len(todo)-1].Blast, "\n")
	for path, there := range map[string]bool{
		"/home/eve/.aws/credentials": true, "/home/eve/.ssh/id_ed25519\"": true, "/etc/gitea/app.ini": true, // by its group
		"id_ed25519.pub": false, "/home/eve/.netrc": false, "/home/bob/.vault-token": false, "admin.conf": false, "/etc/shadow": false,
	} {
		if strings.Contains(list, path) != there {
			t.Errorf("%s listed: %v, want %v\n%s", path, !there, there, list)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the plan changed something:\n%s", diff)
	}
}

func TestPlanOfRootAndOfNobodyKnows(t *testing.T) {
	dir := makeTree(t)
	r := newResponder(t, dir, t.TempDir())
	root := uint32(0)
	for name, uid := range map[string]*uint32{"root": &root, "unknown": nil} {
		inc := incident()
		inc.Members[0].UID = uid
		inc.Findings = []minewarden.IncidentFinding{{Rule: "pow/randomx", Severity: minewarden.Critical}}
		for _, a := range todoOf(t, r, inc) {
			if a.Op == OpKnownHosts {
				t.Errorf("%s: a program that nobody steered: %s", name, a.Summary)
			}
		}
		inc.Findings = append(inc.Findings, minewarden.IncidentFinding{Rule: "lineage/service-chain", Severity: minewarden.High})
		todo, _ := plan(t, r, inc)
		var list, ops string
		for _, a := range todo {
			ops += a.Op + " " + a.Target.ID + "\n"
			if a.Op == OpRotate {
				list = strings.Join(append(a.Blast, a.Refused...), "\n")
			}
		}
		for _, want := range []string{"/home/bob/.vault-token", "/etc/kubernetes/admin.conf", "/etc/shadow"} {
			if !strings.Contains(list, want) {
				t.Errorf("%s: %s is not listed", name, want)
			}
		}
		if strings.Contains(list, "not known") != (uid == nil) {
			t.Errorf("%s: %s", name, list)
		}
		if !strings.Contains(ops, "/home/bob/.ssh/known_hosts") || strings.Contains(ops, "/home/adm2/.ssh") || strings.Contains(ops, "lock-account") {
			t.Errorf("%s: %s", name, ops)
		}
	}
}

func TestByteEqual(t *testing.T) {
	dir := makeTree(t)
	r := newResponder(t, dir, t.TempDir())
	before := snapshot(t, dir)
	todo, _ := plan(t, r, incident())
	for _, a := range todo {
		t.Run(a.Op+strings.ReplaceAll(a.Target.ID, "/", "-"), func(t *testing.T) {
			receipt, err := r.Do(t.Context(), a)
			if err != nil || !receipt.OK {
				t.Fatalf("Do: %v, %+v", err, receipt)
			}
			done := snapshot(t, dir)
			if cmp.Equal(before, done) != (a.Op == OpRotate) {
				t.Fatalf("changed: %s", cmp.Diff(before, done))
			}
			if again, err := r.Do(t.Context(), a); err != nil || cmp.Diff(receipt, again) != "" || !cmp.Equal(done, snapshot(t, dir)) {
				t.Errorf("Do again: %v", err)
			}
			if a.Op == OpRotate {
				return
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
	todo, _ = plan(t, r, incident()) // each alone was right; now all, and back in order
	var receipts []minewarden.Receipt
	for _, a := range todo {
		receipt, err := r.Do(t.Context(), a)
		if err != nil || !receipt.OK {
			t.Fatalf("Do %s: %v, %+v", a.ID, err, receipt)
		}
		receipts = append(receipts, receipt)
	}
	want := strings.NewReplacer("bob:$6", "bob:!$6", "eve:$6", "eve:!$6", "19001:0:99999:7:::", "0:0:99999:7::1:", "19002:0:99999:7:::", "0:0:99999:7::1:").Replace(victim["/etc/shadow"])
	for path, want := range map[string]string{
		"/etc/shadow": want, "/root/.ssh/authorized_keys": "# keys\n" + goodKey + "\n", "/home/bob/.ssh/authorized_keys": goodKey, "/home/eve/.ssh/known_hosts": "",
	} {
		if b, err := os.ReadFile(dir + path); err != nil || string(b) != want {
			t.Errorf("%s: %v\n%s", path, err, cmp.Diff(want, string(b)))
		}
	}
	for _, receipt := range slices.Backward(receipts) {
		if receipt.Action.Op == OpRotate {
			continue
		}
		if err := r.Undo(t.Context(), receipt); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("undone (-before +after):\n%s", diff)
	}
}

func one(t *testing.T, r *Responder, op, target string) minewarden.Action {
	t.Helper()
	todo, refused := plan(t, r, incident())
	for _, a := range todo {
		if a.Op == op && a.Target.ID == target {
			return a
		}
	}
	t.Fatalf("no %s of %s in the plan; refused %q", op, target, refused)
	return minewarden.Action{}
}

// TestOthersChangeShadow changes other accounts and the same one between do and undo, and before do.
func TestOthersChangeShadow(t *testing.T) {
	for _, tt := range []struct {
		name, op string
		between  func(string) string
		want     func(string) string // of the original; nil: undo must refuse
	}{
		{"another account is added", OpLock, func(s string) string { return s + "new:!:1::::::\n" }, func(s string) string { return s + "new:!:1::::::\n" }},
		{"another password is changed", OpExpire, func(s string) string { return strings.Replace(s, hash+"e:19002", "$y$new:20000", 1) }, func(s string) string { return strings.Replace(s, hash+"e:19002", "$y$new:20000", 1) }},
		{"another field of the account", OpLock, func(s string) string { return strings.Replace(s, "b:19001:0:", "b:19001:3:", 1) }, func(s string) string { return strings.Replace(s, "b:19001:0:", "b:19001:3:", 1) }},
		{"the password itself", OpLock, func(s string) string { return strings.Replace(s, "bob:!"+hash, "bob:$y$new", 1) }, nil},
		{"the expired password itself", OpExpire, func(s string) string { return strings.Replace(s, "bob:"+hash+"b:0:", "bob:$y$new:20000:", 1) }, nil},
		{"the account is gone", OpLock, func(s string) string { return strings.Replace(s, "bob:", "bobby:", 1) }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := makeTree(t)
			r := newResponder(t, dir, t.TempDir())
			receipt, err := r.Do(t.Context(), one(t, r, tt.op, "bob"))
			if err != nil || !receipt.OK {
				t.Fatal(err, receipt)
			}
			b, err := os.ReadFile(dir + "/etc/shadow")
			if err != nil {
				t.Fatal(err)
			}
			theirs := tt.between(string(b))
			if theirs == string(b) {
				t.Fatal("the test changes nothing")
			}
			if err := os.WriteFile(dir+"/etc/shadow", []byte(theirs), 0o600); err != nil {
				t.Fatal(err)
			}
			err = r.Undo(t.Context(), receipt)
			got, rerr := os.ReadFile(dir + "/etc/shadow")
			if rerr != nil {
				t.Fatal(rerr)
			}
			if tt.want == nil {
				if err == nil || string(got) != theirs {
					t.Errorf("Undo = %v\n%s", err, cmp.Diff(theirs, string(got)))
				}
				return
			}
			if err != nil || string(got) != tt.want(victim["/etc/shadow"]) {
				t.Errorf("Undo = %v\n%s", err, cmp.Diff(tt.want(victim["/etc/shadow"]), string(got)))
			}
		})
	}
}

func TestNeverLockedOut(t *testing.T) {
	set := func(t *testing.T, dir, path, text string) {
		t.Helper()
		if err := os.WriteFile(dir+path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("protected", func(t *testing.T) {
		_, refused := plan(t, newResponder(t, makeTree(t), t.TempDir(), "bob"), incident())
		if !strings.Contains(strings.Join(refused, "\n"), `"bob" is protected`) {
			t.Errorf("refused %q", refused)
		}
	})
	t.Run("the operator", func(t *testing.T) {
		dir := makeTree(t)
		r := newResponder(t, dir, t.TempDir())
		a := one(t, r, OpLock, "bob")
		a.Params[ParamWho] = "user bob"
		before := snapshot(t, dir)
		receipt, err := r.Do(t.Context(), a)
		if err != nil || receipt.OK || !strings.Contains(receipt.Result, "is yours") || !cmp.Equal(before, snapshot(t, dir)) {
			t.Errorf("%+v, %v", receipt, err)
		}
	})
	t.Run("the last administrator", func(t *testing.T) {
		dir := makeTree(t)
		set(t, dir, "/etc/shadow", strings.Replace(victim["/etc/shadow"], "root:$6", "root:!$6", 1))
		set(t, dir, "/root/.ssh/authorized_keys", "# none\n")
		_, refused := plan(t, newResponder(t, dir, t.TempDir()), incident())
		if !strings.Contains(strings.Join(refused, "\n"), "bob is the last") {
			t.Errorf("refused %q", refused)
		}
	})
	t.Run("the last since the plan", func(t *testing.T) {
		dir := makeTree(t)
		r := newResponder(t, dir, t.TempDir())
		a := one(t, r, OpLock, "bob")
		set(t, dir, "/etc/shadow", strings.Replace(victim["/etc/shadow"], "root:$6", "root:!$6", 1))
		set(t, dir, "/root/.ssh/authorized_keys", "# none\n")
		if receipt, err := r.Do(t.Context(), a); err != nil || receipt.OK {
			t.Errorf("%+v, %v", receipt, err)
		}
	})
	t.Run("the last key", func(t *testing.T) {
		dir := makeTree(t)
		set(t, dir, "/etc/shadow", "root:*:1::::::\nbob:!:1::::::\n")
		set(t, dir, "/root/.ssh/authorized_keys", evilKey+"\n")
		set(t, dir, "/home/bob/.ssh/authorized_keys", "")
		_, refused := plan(t, newResponder(t, dir, t.TempDir()), incident())
		if !strings.Contains(strings.Join(refused, "\n"), "nobody who may become root") {
			t.Errorf("refused %q", refused)
		}
	})
}

// TestLock waits for who changes accounts, as passwd does.
func TestLock(t *testing.T) {
	dir := makeTree(t)
	r := newResponder(t, dir, t.TempDir())
	root := edit.Root{Dir: dir}
	unlock, err := root.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan minewarden.Receipt, 1)
	a := one(t, r, OpLock, "bob")
	go func() {
		receipt, err := r.Do(t.Context(), a)
		if err != nil {
			t.Error(err)
		}
		done <- receipt
	}()
	select {
	case receipt := <-done:
		t.Errorf("it did not wait: %+v", receipt)
	case <-time.After(200 * time.Millisecond):
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if receipt := <-done; !receipt.OK {
		t.Errorf("%+v", receipt)
	}
}

func TestCrash(t *testing.T) {
	dir := makeTree(t)
	before := snapshot(t, dir)
	todo, _ := plan(t, newResponder(t, dir, t.TempDir()), incident())
	for _, a := range todo {
		if a.Op == OpRotate {
			continue
		}
		for keep := 1; keep <= 3; keep++ { // lines of the journal that the crash left: intent, saved, done
			for _, changed := range []bool{false, true} {
				if keep == 1 && changed || keep == 3 && !changed {
					continue
				}
				data := t.TempDir()
				r := newResponder(t, dir, data)
				receipt, err := r.Do(t.Context(), a)
				if err != nil || !receipt.OK {
					t.Fatal(err, receipt)
				}
				if !changed {
					if err := r.Undo(t.Context(), receipt); err != nil {
						t.Fatal(err)
					}
				}
				path := filepath.Join(data, "journal", a.ID+".jsonl")
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(b), "saltsalt") {
					t.Errorf("%s: the journal holds a password's hash", a.Op)
				}
				if err := os.WriteFile(path, []byte(strings.Join(strings.SplitAfter(string(b), "\n")[:keep], "")+`{"pha`), 0o600); err != nil {
					t.Fatal(err)
				}
				r = newResponder(t, dir, data)
				receipts, err := r.Recover(t.Context())
				if err != nil || len(receipts) != 1 || receipts[0].OK != changed {
					t.Fatalf("%s, %d lines, changed %v: Recover = %+v, %v", a.Op, keep, changed, receipts, err)
				}
				if err := r.Undo(t.Context(), receipts[0]); err != nil {
					t.Error(err)
				}
				now := snapshot(t, dir)
				for _, s := range []map[string]string{before, now} { // when the directory was ours is lost in a crash
					for k, v := range s {
						if strings.HasPrefix(v, "4") {
							s[k] = "directory"
						}
					}
				}
				if diff := cmp.Diff(before, now); diff != "" {
					t.Errorf("%s, %d lines:\n%s", a.Op, keep, diff)
				}
			}
		}
	}
}

// TestEnvironment lists a real process's variables by name.
func TestEnvironment(t *testing.T) {
	dir := makeTree(t)
	cmd := exec.Command("sleep", "60")
	cmd.Env = []string{"AWS_SECRET_ACCESS_KEY=hunter2", "DATABASE_URL=postgres://hunter2", "PATH=/bin", "EMPTY_TOKEN=", "EVIL\x1bTOKEN=hunter2"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	st, err := proc.ReadStat(int32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	inc := minewarden.Incident{ID: "i1", Members: []minewarden.Member{{Key: minewarden.ProcessKey{PID: st.PID, Start: st.Start}, Name: "sleep"}}}
	todo, _ := plan(t, newResponder(t, dir, t.TempDir()), inc)
	s := fmt.Sprint(todo)
	for want, there := range map[string]bool{"AWS_SECRET_ACCESS_KEY": true, "DATABASE_URL": true, "PATH": false, "EMPTY_TOKEN": false, "hunter2": false, "\x1b": false} {
		if strings.Contains(s, want) != there {
			t.Errorf("%q listed: %v\n%s", want, !there, s)
		}
	}
}

func FuzzShadow(f *testing.F) {
	f.Add(victim["/etc/shadow"], "bob")
	f.Add("bob:x", "bob")
	f.Add("::::::::\n", "")
	f.Fuzz(func(t *testing.T, text, user string) {
		line, at := find([]byte(text), user)
		if line == nil {
			return
		}
		for _, op := range []string{OpExpire, OpLock} {
			after := with([]byte(text), at, changed(op, line))
			next, again := find(after, user)
			if again != at || !slices.Equal(next, changed(op, line)) {
				t.Fatalf("%q: %q", text, after)
			}
			if back := with(after, at, line); string(back) != text {
				t.Errorf("%q came back as %q", text, back)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(victim["/etc/passwd"], victim["/etc/shadow"], victim["/etc/group"], evilKey)
	f.Fuzz(func(t *testing.T, passwd, shadow, group, keys string) {
		for _, a := range accounts.Parse([]byte(passwd), []byte(shadow), []byte(group)) {
			accounts.KeyFiles(&a)
		}
		n := len(edit.Split([]byte(keys)))
		for _, k := range accounts.Keys([]byte(keys)) {
			if k.Line >= n || !strings.HasPrefix(k.Fingerprint, "SHA256:") {
				t.Errorf("key %+v of %q", k, keys)
			}
		}
		plain([]byte(keys))
		secretNames(keys)
	})
}

// TestFingerprint compares with ssh-keygen where there is one.
func TestFingerprint(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip(err)
	}
	path := t.TempDir() + "/k"
	if err := os.WriteFile(path, []byte(goodKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(keygen, "-lf", path).CombinedOutput()
	if err != nil {
		t.Skipf("ssh-keygen: %v %s", err, out)
	}
	k, ok := accounts.ParseKey(goodKey)
	if !ok || !strings.Contains(string(out), k.Fingerprint+" ") {
		t.Errorf("%+v, want that of %s", k, out)
	}
}
