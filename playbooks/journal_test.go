package playbooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minewarden/minewarden"
)

// many is a desk with incidents that were opened long ago.
type many struct {
	*desk
	n   int
	old time.Time
}

func (m *many) id(i int) string { return fmt.Sprintf("old%d", i) }

func (m *many) Incident(_ context.Context, id string) (minewarden.Incident, error) {
	var i int
	if n, err := fmt.Sscanf(id, "old%d", &i); n != 1 || err != nil || i >= m.n {
		return minewarden.Incident{}, minewarden.ErrNotFound
	}
	return minewarden.Incident{ID: id, State: minewarden.Open, Severity: minewarden.Critical, Score: 0.99, Opened: m.old, Changed: m.old, Updated: m.old}, nil
}

func TestOldIncidentsAreTakenUpQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, m := t.TempDir(), &many{desk: newDesk(), n: 3000, old: time.Now().Add(-100 * 24 * time.Hour)}
		b := start(t, dir, m.desk, three, func(c *Config) { c.Desk = m })
		writes := 0
		write := b.watch.write
		b.watch.write = func(c []change[tracked], all func() []change[tracked]) error {
			writes++
			return write(c, all)
		}
		for i := range m.n {
			b.Offer(m.id(i))
		}
		for range 20 {
			time.Sleep(30 * time.Second)
			synctest.Wait()
		}
		if esc := b.escalated(); len(esc) != 1 || esc[0].More != 3*m.n-1 || !strings.Contains(esc[0].Message, "9000 deadlines of 3000 incidents") {
			t.Errorf("%d escalations: %.3v", len(esc), esc)
		}
		if writes > 10 {
			t.Errorf("the deadlines of %d incidents took %d writes", m.n, writes)
		}
		if runs := b.Runs(""); len(runs) != 0 {
			t.Errorf("%d runs for incidents about which nothing has happened for 100 days", len(runs))
		}
		b.stop()
		b = start(t, dir, m.desk, three, func(c *Config) { c.Desk = m })
		defer b.stop()
		for range 20 {
			time.Sleep(30 * time.Second)
			synctest.Wait()
		}
		if esc, all := b.escalated(), b.Deadlines(""); len(esc) != 0 || len(all) != 3*m.n {
			t.Errorf("after a restart: %d escalations, %d deadlines", len(esc), len(all))
		}
	})
}

// TestADiskThatHangs reads deadlines while a write of them does not end.
func TestADiskThatHangs(t *testing.T) {
	e, err := New(Config{Dir: t.TempDir(), Desk: newDesk()})
	if err != nil {
		t.Fatal(err)
	}
	begun, end := make(chan struct{}), make(chan struct{})
	e.watch.write = func([]change[tracked], func() []change[tracked]) error {
		close(begun)
		<-end
		return nil
	}
	inc := &minewarden.Incident{ID: "i1", State: minewarden.Open, Severity: minewarden.High, Opened: time.Now()}
	if err := e.watch.track(inc, Deadlines{}); err != nil {
		t.Fatal(err)
	}
	met := make(chan error)
	go func() { met <- e.Met("i1", Report, "user ann") }()
	<-begun
	if all := e.DeadlinesOf([]string{"i1"}); len(all) != 3 {
		t.Errorf("%+v", all)
	}
	inc.ID = "i2"
	if err := e.watch.track(inc, Deadlines{}); err != nil {
		t.Fatal(err)
	}
	if all := e.Deadlines(""); len(all) != 6 {
		t.Errorf("%+v", all)
	}
	close(end)
	if err := <-met; err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotSavedIsSavedLater(t *testing.T) {
	name := filepath.Join(t.TempDir(), deadlinesFile)
	d, err := newDeadlines(name)
	if err != nil {
		t.Fatal(err)
	}
	write, full := d.write, errors.New("no space")
	d.write = func([]change[tracked], func() []change[tracked]) error { return full }
	inc := &minewarden.Incident{ID: "i1", State: minewarden.Open, Severity: minewarden.High, Opened: time.Now()}
	if err := d.track(inc, Deadlines{}); err != nil {
		t.Fatal(err)
	}
	if err := d.flush(); !errors.Is(err, full) {
		t.Fatal(err)
	}
	d.write = write
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	d.told([]Escalation{{Incident: "i1", What: Report, Percent: 80}})
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	again, err := newDeadlines(name)
	if err != nil || again.all["i1"] == nil || again.all["i1"].Dues[1].Told != 80 {
		t.Errorf("%v %+v", err, again.all["i1"])
	}
}

func TestJournal(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x", "j.jsonl")
	kept := map[string]*int{}
	all := func() (out []change[int]) {
		for id, v := range kept {
			out = append(out, change[int]{id, v})
		}
		return out
	}
	j := &journal[int]{name: name}
	put := func(id string, v *int) {
		t.Helper()
		kept[id] = v
		if v == nil {
			delete(kept, id)
		}
		if err := j.write([]change[int]{{id, v}}, all); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1500 {
		put("a", &i)
	}
	one := 1
	put("b", &one)
	put("c", &one)
	put("c", nil)
	if j.lines > slack {
		t.Errorf("%d lines for 2 values", j.lines)
	}
	check := func(wantErr string) {
		t.Helper()
		got, err := (&journal[int]{name: name}).load()
		if len(got) != 2 || *got["a"] != 1499 || *got["b"] != 1 || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%v, %v", got, err)
		}
	}
	check("")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// A crash cuts the last line; the next write begins anew.
	if err := os.WriteFile(name, append(bytes.Clone(text), `{"id":"a","val`...), 0o600); err != nil {
		t.Fatal(err)
	}
	check("")
	if err := os.WriteFile(name, append([]byte("{\"id\":\x00\n"+strings.Repeat("y", 2*maxLine)+"\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	check("line 1")
	if _, err := os.Stat(name + ".bad"); err != nil {
		t.Error(err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("{\"id\":\"a\",\"value\":{\"incident\":\"a\",\"dues\":[{\"what\":\"report\"}]}}\n{\"id\":\"a\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := newDeadlines(name)
		if err != nil && !strings.Contains(err.Error(), ".bad") {
			t.Fatal(err)
		}
		d.near(time.Now(), "")
		n := len(d.all)
		d.dirty["x"] = true
		if err := d.flush(); err != nil {
			t.Fatal(err)
		}
		if d, err = newDeadlines(name); err != nil || len(d.all) != n {
			t.Errorf("%d incidents, then %d: %v", n, len(d.all), err)
		}
	})
}
