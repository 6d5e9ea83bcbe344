package pipeline_test

import (
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/pipeline"
)

// lateHost does not know the cgroup of a container that was started just now, but the process does.
type lateHost struct {
	of map[minewarden.ProcessKey]string
}

func (lateHost) Container(cgroup string) minewarden.Container {
	if cgroup != "/docker/one" {
		return minewarden.Container{}
	}
	return minewarden.Container{Runtime: "docker", ID: "one"}
}

func (lateHost) CgroupPath(id uint64) string {
	if id == 7 {
		return "/"
	}
	return ""
}
func (h lateHost) CgroupOf(key minewarden.ProcessKey) string { return h.of[key] }
func (lateHost) Owner(string, minewarden.Inode) string       { return "" }

func TestContainerOfUnknownCgroup(t *testing.T) {
	d := new(spy)
	p := pipeline.New(pipeline.Options{
		Host: lateHost{map[minewarden.ProcessKey]string{key(2): "/docker/one", key(3): "/docker/one"}}, Detectors: []minewarden.Detector{d},
	})
	for pid, cgroup := range map[int32]uint64{2: 99, 3: 7, 4: 99} {
		ev := exec(t0, pid, 0, "server")
		x, ok := ev.Data.(*minewarden.Exec)
		if !ok {
			t.Fatalf("%T is no exec", ev.Data)
		}
		x.CgroupID = cgroup
		p.Observe(ev)
	}
	want := map[int32]string{2: "one"} // the id of 3 is known, 4 ended
	for _, ev := range d.seen {
		if got := ev.Process.Container.ID; got != want[ev.Process.Key.PID] {
			t.Errorf("process %d is in container %q, want %q", ev.Process.Key.PID, got, want[ev.Process.Key.PID])
		}
	}
	if len(d.seen) != 3 {
		t.Errorf("%d events, want 3", len(d.seen))
	}
}

// A process that ended before anybody asked is where its parent is.
func TestContainerOfEndedProcess(t *testing.T) {
	d := new(spy)
	p := pipeline.New(pipeline.Options{Host: lateHost{map[minewarden.ProcessKey]string{key(2): "/docker/one"}}, Detectors: []minewarden.Detector{d}})
	for pid := int32(2); pid < 4; pid++ {
		ev := exec(t0, pid, pid-1, "server")
		ev.Data.(*minewarden.Exec).CgroupID = 99 //nolint:forcetypeassert // exec makes it
		p.Observe(ev)
	}
	p.Observe(fork(t0, 3, 4))
	ev := exec(t0, 4, 3, "child")
	ev.Data.(*minewarden.Exec).CgroupID = 99 //nolint:forcetypeassert // exec makes it
	p.Observe(ev)
	for _, ev := range d.seen {
		if got := ev.Process.Container.ID; got != "one" {
			t.Errorf("%s of process %d is in container %q, want one", ev.Data.Kind(), ev.Process.Key.PID, got)
		}
	}
}
