// Package hostfs finds on a host, through its files alone, how services are started: running processes, systemd units with
// their drop-ins, and the configuration files that these name.
package hostfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/minewarden/minewarden/internal/shady"
)

// Limits of what is read from one host.
const (
	MaxFile      = 4 << 20
	maxProcesses = 100_000
	maxUnits     = 5_000
	maxConfigs   = 500
)

// A Command is a command line that starts a service.
type Command struct {
	Argv []string
	File string // where it is written; for a running process its cmdline
	Line int    // in a unit, from 1
	Root string // below which the process sees its files: "" or "proc/PID/root"
}

// Flag returns the values of a flag by any of its names, in both forms, "-x v" and "-x=v", with one or two dashes. A flag
// without a value gives "".
func (c Command) Flag(names ...string) (values []string, found bool) {
	for i := 0; i < len(c.Argv); i++ {
		a := c.Argv[i]
		if !strings.HasPrefix(a, "-") {
			continue
		}
		name, value, eq := strings.Cut(strings.TrimLeft(a, "-"), "=")
		for _, n := range names {
			switch {
			case name == n && eq:
				values, found = append(values, value), true
			case name == n:
				found = true
				if i+1 < len(c.Argv) && (!strings.HasPrefix(c.Argv[i+1], "-") || len(c.Argv[i+1]) == 1) {
					values = append(values, c.Argv[i+1])
				} else {
					values = append(values, "")
				}
			case len(n) == 1 && strings.HasPrefix(a, "-"+n) && !strings.HasPrefix(a, "--") && len(a) > 2 && !eq && name != n && n == "H":
				values, found = append(values, a[2:]), true
			}
		}
	}
	return values, found
}

// On tells whether a boolean flag is set.
func (c Command) On(names ...string) bool {
	vs, ok := c.Flag(names...)
	if !ok {
		return false
	}
	switch strings.ToLower(vs[len(vs)-1]) {
	case "false", "0", "f", "no":
		return false
	}
	return true
}

// Commands returns the command lines of product ("nomad", "consul", "docker", "gitea"), those that run first. The error
// says what could not be looked at; commands found beside it are true all the same.
func Commands(root fs.FS, product string) ([]Command, error) {
	var out []Command
	var errs []error
	running, err := processes(root, product)
	errs = append(errs, err)
	out = append(out, running...)
	units, err := unitCommands(root, product)
	errs = append(errs, err)
	return append(out, units...), errors.Join(errs...)
}

func processes(root fs.FS, product string) ([]Command, error) {
	dir, err := fs.ReadDir(root, "proc")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // an image or a disk
	}
	if err != nil {
		return nil, fmt.Errorf("read proc: %w", err)
	}
	var out []Command
	var errs []error
	n := 0
	for _, d := range dir {
		if d.Name() == "" || strings.Trim(d.Name(), "0123456789") != "" {
			continue
		}
		if n++; n > maxProcesses {
			return out, errors.New("more processes than are read")
		}
		file := "proc/" + d.Name() + "/cmdline"
		b, err := ReadFile(root, file, 1<<20)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "no such process") {
				errs = append(errs, err)
			}
			continue
		}
		argv := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		if shady.Product(argv) == product {
			out = append(out, Command{Argv: argv, File: file, Root: "proc/" + d.Name() + "/root"})
		}
	}
	if len(errs) > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more processes", len(errs)-3))
	}
	return out, errors.Join(errs...)
}

// unitDirs are where systemd looks, the first that has a unit wins.
func unitDirs() []string {
	return []string{"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"}
}

func unitCommands(root fs.FS, product string) ([]Command, error) {
	seen := map[string]bool{}
	var out []Command
	var errs []error
	for _, dir := range unitDirs() {
		es, err := fs.ReadDir(root, dir)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("read %s: %w", dir, err))
			}
			continue
		}
		for _, e := range es {
			if e.IsDir() || !strings.HasSuffix(e.Name(), ".service") || seen[e.Name()] {
				continue
			}
			seen[e.Name()] = true
			if len(seen) > maxUnits {
				return out, errors.New("more units than are read")
			}
			cmds, err := UnitCommands(root, dir, e.Name())
			if err != nil {
				errs = append(errs, err)
			}
			for _, c := range cmds {
				if shady.Product(c.Argv) == product {
					out = append(out, c)
				}
			}
		}
	}
	return out, errors.Join(errs...)
}

// UnitCommands returns the ExecStart lines in force of a unit in dir: those of the unit, unless a drop-in clears them.
func UnitCommands(root fs.FS, dir, unit string) ([]Command, error) {
	files := []string{path.Join(dir, unit)}
	var drops []string
	for _, d := range unitDirs() {
		es, err := fs.ReadDir(root, path.Join(d, unit+".d"))
		if err != nil {
			continue // most units have none
		}
		for _, e := range es {
			if strings.HasSuffix(e.Name(), ".conf") {
				drops = append(drops, path.Join(d, unit+".d", e.Name()))
			}
		}
	}
	sort.Slice(drops, func(i, j int) bool { return path.Base(drops[i]) < path.Base(drops[j]) })
	var out []Command
	var errs []error
	env := map[string]string{}
	for _, f := range append(files, drops...) {
		if info, err := fs.Stat(root, f); err == nil && !info.Mode().IsRegular() {
			continue // masked: a link to /dev/null
		}
		b, err := ReadFile(root, f, 1<<20)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		out = execStarts(root, f, string(b), out, env)
	}
	for i := range out {
		out[i].Argv = expand(out[i].Argv, env)
	}
	return out, errors.Join(errs...)
}

func execStarts(root fs.FS, file, text string, out []Command, env map[string]string) []Command {
	lines := strings.Split(text, "\n")
	section := ""
	for i := 0; i < len(lines); i++ {
		at := i + 1
		l := strings.TrimSpace(lines[i])
		if l == "" || l[0] == '#' || l[0] == ';' {
			continue
		}
		if l[0] == '[' {
			section = strings.Trim(l, "[]")
			continue
		}
		for strings.HasSuffix(l, "\\") && i+1 < len(lines) {
			i++
			l = strings.TrimSuffix(l, "\\") + " " + strings.TrimSpace(lines[i])
		}
		key, value, ok := strings.Cut(l, "=")
		if !ok || section != "Service" {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "ExecStart":
			if value == "" {
				out = nil
				continue
			}
			out = append(out, Command{Argv: shady.Fields(strings.TrimLeft(value, "@-:+!")), File: file, Line: at})
		case "Environment":
			for _, kv := range shady.Fields(value) {
				if k, v, ok := strings.Cut(kv, "="); ok {
					env[k] = v
				}
			}
		case "EnvironmentFile":
			if root == nil {
				continue
			}
			b, err := ReadFile(root, strings.TrimPrefix(strings.TrimPrefix(value, "-"), "/"), 1<<20)
			if err != nil {
				continue // the flags stay unexpanded, and say so by their name
			}
			for _, kv := range strings.Split(string(b), "\n") {
				if k, v, ok := strings.Cut(strings.TrimSpace(kv), "="); ok && !strings.HasPrefix(k, "#") && len(env) < 1000 {
					env[k] = strings.Trim(v, `"'`)
				}
			}
		}
	}
	return out
}

// ParseUnit returns the ExecStart lines of one unit or drop-in by itself, as it lies in a repository.
func ParseUnit(file, text string) []Command {
	env := map[string]string{}
	out := execStarts(nil, file, text, nil, env)
	for i := range out {
		out[i].Argv = expand(out[i].Argv, env)
	}
	return out
}

// expand puts a unit's environment into its command, $NAME as words of its own.
func expand(argv []string, env map[string]string) []string {
	var out []string
	for _, a := range argv {
		if name, ok := strings.CutPrefix(a, "$"); ok && !strings.HasPrefix(name, "{") && !strings.ContainsAny(name, "/.") {
			if v, ok := env[name]; ok {
				out = append(out, shady.Fields(v)...)
				continue
			}
		}
		for k, v := range env {
			a = strings.ReplaceAll(a, "${"+k+"}", v)
		}
		out = append(out, a)
	}
	return out
}

// A File is one configuration file that was read.
type File struct {
	Path string
	Data []byte
}

// Configs reads name, as a command line gives it: a file, or a folder with files of the given endings in the order of
// their names. A process' own root is tried first.
func Configs(root fs.FS, below, name string, endings ...string) ([]File, error) {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	tries := []string{clean}
	if below != "" {
		tries = []string{path.Join(below, clean), clean}
	}
	var last error
	for _, p := range tries {
		info, err := fs.Stat(root, p)
		if err != nil {
			last = err
			continue
		}
		if !info.IsDir() {
			b, err := ReadFile(root, p, MaxFile)
			if err != nil {
				return nil, err
			}
			return []File{{p, b}}, nil
		}
		es, err := fs.ReadDir(root, p)
		if err != nil {
			return nil, fmt.Errorf("read folder %s: %w", p, err)
		}
		var out []File
		var errs []error
		for _, e := range es {
			if e.IsDir() || !hasEnding(e.Name(), endings) || len(out) >= maxConfigs {
				continue
			}
			b, err := ReadFile(root, path.Join(p, e.Name()), MaxFile)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			out = append(out, File{path.Join(p, e.Name()), b})
		}
		return out, errors.Join(errs...)
	}
	return nil, fmt.Errorf("read configuration %s: %w", name, last)
}

func hasEnding(name string, endings []string) bool {
	for _, e := range endings {
		if strings.HasSuffix(name, e) {
			return true
		}
	}
	return false
}

// ReadFile reads a regular file of at most limit bytes, or a file of proc.
func ReadFile(root fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Stat(root, name) // before opening: a pipe would block
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, limit)
	}
	return b, nil
}
