package persistence

import (
	"strings"

	"github.com/minewarden/minewarden/internal/command"
	"github.com/minewarden/minewarden/internal/program"
)

// A verdict is what the text of a file in a spot says.
type verdict struct {
	rule       string // "" where nothing speaks against it
	confidence float64
	note       string
}

const maxLines = 512 // of a unit, rule or key file

// judge reads what the file starts.
func judge(is spot, text string) verdict {
	switch is {
	case preload:
		return judgePreload(text)
	case gitconfig:
		if line := lineWith(text, "packobjectshook"); line != "" {
			return verdict{ruleGit, 0.8, line}
		}
		return verdict{}
	case keys, sudoers:
		return verdict{}
	case pam, sshd, accounts, linker:
		return judgeAccess(is, text)
	case packages:
		return judgeHooks(text)
	case rotate:
		text = rotated(text)
	case unit, autostart:
		return judgeUnit(text)
	case udev:
		var v verdict
		for line := range lines(text) {
			if i := strings.Index(line, "RUN"); i >= 0 {
				if _, run, ok := strings.Cut(line[i:], `"`); ok {
					run, _, _ = strings.Cut(run, `"`)
					v = worse(v, judgeFacts(command.Text(run), false))
				}
			}
		}
		return v
	}
	v := judgeFacts(command.Text(text), is == cron)
	if is == cron {
		for line := range lines(text) {
			v = worse(v, judgeHidden(line))
		}
	}
	return v
}

func lines(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for n := 0; text != "" && n < maxLines; n++ {
			line, rest, _ := strings.Cut(text, "\n")
			text = rest
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' && !yield(line) {
				return
			}
		}
	}
}

func lineWith(text, word string) string {
	for line := range lines(text) {
		if strings.Contains(strings.ToLower(line), word) {
			return clip(line)
		}
	}
	return ""
}

func clip(s string) string { return s[:min(len(s), 200)] }

func judgePreload(text string) verdict {
	for line := range lines(text) {
		if strings.Contains(line, "/libarmmem") && strings.HasPrefix(line, "/usr/lib/") {
			continue
		}
		confidence := 0.75
		if program.At(line) != 0 || strings.HasPrefix(line, "/usr/local/lib/") {
			confidence = 0.9
		}
		return verdict{rulePreload, confidence, clip(line)}
	}
	return verdict{}
}

func worse(a, b verdict) verdict {
	if rank(b.rule) > rank(a.rule) {
		return b
	}
	return a
}

func rank(rule string) int {
	switch rule {
	case ruleMiner:
		return 5
	case ruleCode, ruleRoot:
		return 4
	case ruleIdle, ruleFetch:
		return 3
	case ruleHidden:
		return 2
	case "":
		return 0
	}
	return 1
}

func judgeFacts(f command.Facts, scheduled bool) verdict {
	const run = command.PipeToShell | command.DecodeToRun | command.RunWritable
	note := f.Note(run | command.RunHidden | command.Miner | command.MinerFetch | command.ReverseShell | command.Download)
	fetches := f.Acts.Has(command.Download) && !f.Acts.Has(command.LocalHost)
	switch {
	case f.Acts.Has(command.Miner | command.MinerFetch):
		return verdict{ruleMiner, 0.95, f.Note(command.Miner | command.MinerFetch)}
	case f.Acts.Has(command.ReverseShell), f.Acts.Has(command.RunHidden), fetches && f.Acts.Has(command.RawHost) && f.Acts.Has(run|command.Executable),
		fetches && f.Acts.Has(command.RunWritable):
		return verdict{ruleCode, 0.9, note}
	case f.Acts.Has(command.DecodeToRun):
		return verdict{ruleCode, 0.8, note}
	case f.Acts.Has(command.PipeToShell), f.Acts.Has(command.RunWritable), scheduled && fetches && f.Acts.Has(command.RawHost):
		return verdict{ruleFetch, 0.6, note}
	}
	return verdict{}
}

// toolDirs are hidden directories of home in which honest tools live that people start from cron and units.
var toolDirs = [...]string{
	"/.acme.sh/", "/.local/", "/.cargo/", "/.rbenv/", "/.nvm/", "/.pyenv/", "/.rvm/", "/.venv/", "/.pm2/", "/.bun/", "/.deno/", "/.nix-profile/", "/.asdf/", "/.npm-global/",
	"/.dotnet/", "/.sdkman/", "/.linuxbrew/", "/.virtualenvs/", "/.composer/", "/.conda/", "/.go/", "/.certbot/", "/.yarn/", "/.volta/", "/.fnm/", "/.env/", "/.docker/", "/.krew/",
}

// judgeHidden finds a program with a hidden path in a line that starts things.
func judgeHidden(line string) verdict {
	for word := range strings.FieldsSeq(line) {
		if !strings.HasPrefix(word, "/") || program.At(word)&program.Hidden == 0 {
			continue
		}
		known := false
		for _, dir := range toolDirs {
			known = known || strings.Contains(word, dir)
		}
		if !known {
			return verdict{ruleHidden, 0.6, clip(line)}
		}
		return verdict{}
	}
	return verdict{}
}

// judgeUnit reads the commands of a systemd unit or desktop entry, and whether it gives its program what is left of the CPU.
func judgeUnit(text string) verdict {
	var v verdict
	nice, weight, home := false, false, ""
	for line := range lines(text) {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch key = strings.TrimSpace(key); {
		case key == "Nice":
			nice = len(value) > 0 && value[0] != '-' && value != "0"
		case key == "CPUWeight" && (value == "1" || value == "idle"), key == "CPUSchedulingPolicy" && value == "idle", key == "StartupCPUWeight" && value == "1":
			weight = true
		case key == "Exec" || strings.HasPrefix(key, "ExecStart"):
			value = strings.TrimLeft(value, "-@:+!|")
			v = worse(v, judgeFacts(command.Text(value), false))
			v = worse(v, judgeHidden(value))
			exe, _, _ := strings.Cut(value, " ")
			if strings.HasPrefix(exe, "/root/") || strings.HasPrefix(exe, "/home/") || strings.HasPrefix(exe, "$HOME") || program.At(exe) != 0 {
				home = clip(value)
			}
		}
	}
	if nice && weight && home != "" {
		v = worse(v, verdict{ruleIdle, 0.7, home})
	}
	return v
}
