package linux

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/internal/verdict"
)

// units judges the units that an administrator, or an intruder, wrote; those of packages are the packages' business.
func (s *sheet) units() {
	n := 0
	for _, dir := range []string{"etc/systemd/system", "usr/local/lib/systemd/system", "run/systemd/system"} {
		es, err := s.entries(dir)
		if missing(err) {
			continue
		}
		if err != nil {
			s.Unknown(ruleUnitMiner, err.Error())
			continue
		}
		for _, e := range es {
			names := []string{path.Join(dir, e.Name())}
			if e.IsDir() && strings.HasSuffix(e.Name(), ".d") {
				names = nil
				if sub, err := fs.ReadDir(s.root, path.Join(dir, e.Name())); err == nil {
					for _, d := range sub {
						names = append(names, path.Join(dir, e.Name(), d.Name()))
					}
				}
			} else if e.IsDir() || !strings.HasSuffix(e.Name(), ".service") {
				continue
			}
			for _, name := range names {
				b, err := s.read(name)
				if err != nil {
					if !missing(err) {
						s.Unknown(ruleUnitMiner, err.Error())
					}
					continue
				}
				n++
				s.unit(name, b)
			}
		}
	}
	for _, r := range []string{ruleUnitTmp, ruleUnitMiner, ruleUnitDownloads} {
		s.Pass(r, fmt.Sprintf("none of %d units of the administrator does", n))
	}
}

// unit judges the commands of one unit file or drop-in.
func (s *sheet) unit(name string, data []byte) {
	line, start, held := 0, 0, ""
	for l := range strings.Lines(string(data)) {
		line++
		l = strings.TrimSpace(l)
		if held == "" {
			start = line
			if l == "" || l[0] == '#' || l[0] == ';' {
				continue
			}
		}
		if before, ok := strings.CutSuffix(l, `\`); ok && len(held) < maxFile {
			held += before + " "
			continue
		}
		l, held = held+l, ""
		key, value, ok := strings.Cut(l, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || !strings.HasPrefix(key, "Exec") || value == "" {
			continue
		}
		s.command(name, start, key, strings.TrimLeft(value, "@-:+!|"))
	}
}

func (s *sheet) command(name string, line int, key, command string) {
	at := s.File(name, line, 1)
	ev := verdict.Evidence("directive", key+"="+command)
	argv := shady.Fields(command)
	if len(argv) == 0 {
		return
	}
	switch v := s.a.judge.Command(command); v.Kind {
	case shady.Miner:
		s.Prove(ruleUnitMiner, at, fmt.Sprintf("%s of %s starts %s", key, name, v.Text), nil, ev...)
	case shady.Downloader:
		s.Prove(ruleUnitDownloads, at, fmt.Sprintf("%s of %s runs %s", key, name, v.Text), nil, ev...)
	}
	for _, a := range argv[:min(len(argv), 4)] {
		if strings.HasPrefix(a, "/tmp/") || strings.HasPrefix(a, "/var/tmp/") || strings.HasPrefix(a, "/dev/shm/") {
			if a == argv[0] || shady.Product(argv) == "" && isInterpreter(argv[0]) {
				s.Prove(ruleUnitTmp, at, fmt.Sprintf("%s of %s runs %s", key, name, a), nil, ev...)
				break
			}
		}
	}
	for _, f := range shady.Flaws(argv) {
		s.Prove(ruleFlags, at, fmt.Sprintf("%s of %s starts %s with %s: %s", key, name, f.Product, f.Text, f.Why), nil, ev...)
	}
}

func isInterpreter(program string) bool {
	switch path.Base(program) {
	case "sh", "bash", "dash", "python", "python3", "perl", "node", "nohup", "env", "nice":
		return true
	}
	return false
}
