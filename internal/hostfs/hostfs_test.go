package hostfs

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestCommands(t *testing.T) {
	root := fstest.MapFS{
		"proc/12/cmdline":                               {Data: []byte("/usr/bin/dockerd\x00-H\x00tcp://0.0.0.0:2375\x00")},
		"proc/13/cmdline":                               {Data: []byte("/usr/bin/vim\x00dockerd\x00")},
		"lib/systemd/system/docker.service":             {Data: []byte("[Service]\nExecStart=/usr/bin/dockerd -H fd:// $DOCKER_OPTS\nEnvironmentFile=-/etc/default/docker\n")},
		"etc/default/docker":                            {Data: []byte("DOCKER_OPTS=\"--config-file /etc/d.json -Htcp://[::]:2375\"\n")},
		"lib/systemd/system/consul.service":             {Data: []byte("[Service]\nExecStart=/usr/bin/consul agent -dev\n")},
		"etc/systemd/system/consul.service.d/over.conf": {Data: []byte("[Service]\nExecStart=\nExecStart=/usr/bin/consul agent \\\n  -config-dir=/etc/consul.d\n")},
	}
	got, err := Commands(root, "docker")
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if h, _ := got[0].Flag("H", "host"); len(h) != 1 || h[0] != "tcp://0.0.0.0:2375" {
		t.Errorf("running: %v", h)
	}
	if h, _ := got[1].Flag("H", "host"); strings.Join(h, " ") != "fd:// tcp://[::]:2375" {
		t.Errorf("unit: %v of %v", h, got[1].Argv)
	}
	if f, _ := got[1].Flag("config-file"); len(f) != 1 || f[0] != "/etc/d.json" {
		t.Errorf("config-file: %v", f)
	}
	got, err = Commands(root, "consul")
	if err != nil || len(got) != 1 || got[0].On("dev") || got[0].Line != 3 {
		t.Errorf("drop-in: %+v, %v", got, err)
	}
}
