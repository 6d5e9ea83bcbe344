package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

const (
	id1 = "7c5c1f3b0e6a4c2d9b8f7a6e5d4c3b2a190817263544536271809a8b7c6d5e4f"
	id2 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	uid = "3f1c9a5e-7b2d-4c86-9f10-a2b3c4d5e6f7"
)

var containerForms = []struct {
	name, cgroup string
	want         minewarden.Container
}{
	{"root", "/", minewarden.Container{}},
	{"empty", "", minewarden.Container{}},
	{"service", "/system.slice/nginx.service", minewarden.Container{}},
	{"session", "/user.slice/user-1000.slice/session-3.scope", minewarden.Container{}},
	{"docker cgroupfs", "/docker/" + id1, minewarden.Container{Runtime: "docker", ID: id1}},
	{"docker systemd", "/system.slice/docker-" + id1 + ".scope", minewarden.Container{Runtime: "docker", ID: id1}},
	{"docker rootless", "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-" + id1 + ".scope", minewarden.Container{Runtime: "docker", ID: id1}},
	{"docker init in it", "/system.slice/docker-" + id1 + ".scope/init.scope", minewarden.Container{Runtime: "docker", ID: id1}},
	{"docker from another namespace", "/../../docker/" + id1, minewarden.Container{Runtime: "docker", ID: id1}},
	{"docker in docker", "/docker/" + id1 + "/docker/" + id2, minewarden.Container{Runtime: "docker", ID: id2}},
	{"docker daemon", "/system.slice/docker.service", minewarden.Container{}},
	{"cgroup parent", "/batch/" + id1, minewarden.Container{Runtime: "container", ID: id1}},
	{"ecs", "/ecs/2b6e7d0c4d0c4e5a8d1f/" + id1, minewarden.Container{Runtime: "container", ID: id1}},
	{"fargate", "/ecs/" + id1[:32] + "/" + id1[:32] + "-1234567890", minewarden.Container{Runtime: "container", ID: id1[:32] + "-1234567890"}},
	{"containerd default namespace", "/default/" + id1, minewarden.Container{Runtime: "containerd", ID: id1}},
	{"nerdctl", "/system.slice/nerdctl-" + id1 + ".scope", minewarden.Container{Runtime: "containerd", ID: id1}},
	{"podman root", "/machine.slice/libpod-" + id1 + ".scope/container", minewarden.Container{Runtime: "podman", ID: id1}},
	{"podman cgroupfs", "/libpod_parent/libpod-" + id1, minewarden.Container{Runtime: "podman", ID: id1}},
	{"podman rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id1 + ".scope/container", minewarden.Container{Runtime: "podman", ID: id1}},
	{"podman quadlet", "/system.slice/web.service/libpod-payload-" + id1, minewarden.Container{Runtime: "podman", ID: id1}},
	{"conmon", "/machine.slice/libpod-conmon-" + id1 + ".scope", minewarden.Container{}},
	{"crio conmon", "/system.slice/crio-conmon-" + id1 + ".scope", minewarden.Container{}},
	{"kubernetes systemd containerd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/cri-containerd-" + id1 + ".scope", minewarden.Container{Runtime: "containerd", ID: id1, Pod: uid}},
	{"kubernetes guaranteed crio", "/kubepods.slice/kubepods-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/crio-" + id1 + ".scope/container", minewarden.Container{Runtime: "crio", ID: id1, Pod: uid}},
	{"kubernetes cgroupfs", "/kubepods/besteffort/pod" + uid + "/" + id1, minewarden.Container{Runtime: "kubernetes", ID: id1, Pod: uid}},
	{"kubernetes static pod", "/kubepods/burstable/pod" + id2[:32] + "/" + id1, minewarden.Container{Runtime: "kubernetes", ID: id1, Pod: id2[:32]}},
	{"kubernetes colon form", "/system.slice/containerd.service/kubepods-besteffort-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice:cri-containerd:" + id1, minewarden.Container{Runtime: "containerd", ID: id1, Pod: uid}},
	{"kubernetes in docker", "/docker/" + id2 + "/kubelet/kubepods/burstable/pod" + uid + "/" + id1, minewarden.Container{Runtime: "kubernetes", ID: id1, Pod: uid}},
	{"pod only", "/kubepods/burstable/pod" + uid, minewarden.Container{Runtime: "kubernetes", Pod: uid}},
	{"lxc payload", "/lxc.payload.web/system.slice/cron.service", minewarden.Container{Runtime: "lxc", ID: "web"}},
	{"lxc old", "/lxc/101/ns/init.scope", minewarden.Container{Runtime: "lxc", ID: "101"}},
	{"lxc monitor", "/lxc.monitor.web", minewarden.Container{}},
	{"nspawn unit", "/machine.slice/systemd-nspawn@build.service/payload/init.scope", minewarden.Container{Runtime: "systemd-nspawn", ID: "build"}},
	{"nspawn scope", `/machine.slice/machine-deb\x2dsid.scope`, minewarden.Container{Runtime: "systemd-nspawn", ID: "deb-sid"}},
	{"libvirt machine", `/machine.slice/machine-qemu\x2d1\x2dvm.scope`, minewarden.Container{}},
	{"buildkit", "/docker/buildkit/abcdefghijklmnopqrstuvwxy", minewarden.Container{Runtime: "buildkit", ID: "abcdefghijklmnopqrstuvwxy"}},
	{"name that only looks so", "/system.slice/docker-cleanup.service", minewarden.Container{}},
}

func TestContainerOf(t *testing.T) {
	for _, c := range containerForms {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, ContainerOf(c.cgroup)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseCgroup(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"v2", "0::/system.slice/cron.service\n", "/system.slice/cron.service"},
		{"v1", "12:pids:/a\n3:cpu,cpuacct:/b\n1:name=systemd:/c\n", "/c"},
		{"hybrid with v2 at the root", "4:memory:/x\n1:name=systemd:/user.slice\n0::/\n", "/user.slice"},
		{"hybrid, v2 has the service", "1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n", "/system.slice/b.service"},
		{"container in one hierarchy only", "9:name=systemd:/system.slice\n4:memory:/docker/" + id1 + "\n0::/\n", "/docker/" + id1},
		{"all root", "2:cpu:/\n0::/\n", "/"},
		{"removed", "0::/system.slice/a.service (deleted)\n", "/system.slice/a.service"},
		{"colon in the path", "0::/a:b\n", "/a:b"},
		{"empty", "", ""},
		{"no sense", "what\n::\n0:\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ParseCgroup(strings.NewReader(c.text)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzParseCgroup(f *testing.F) {
	for _, c := range containerForms {
		f.Add("0::" + c.cgroup + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := ParseCgroup(strings.NewReader(text))
		if path != "" && path[0] != '/' {
			t.Errorf("path %q of %q is not absolute", path, text)
		}
		if c := ContainerOf(path); c.Runtime == "" && (c.ID != "" || c.Pod != "") {
			t.Errorf("container %+v of %q has no runtime", c, path)
		}
	})
}
