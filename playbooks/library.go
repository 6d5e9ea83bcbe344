package playbooks

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed library/*.yaml
var own embed.FS

//go:embed README.md
var doc string

// Doc describes the format.
func Doc() string { return doc }

// maxPlaybooks bounds how many a directory gives.
const maxPlaybooks = 500

// Own returns the playbooks that come with the program, by name.
func Own() ([]Playbook, error) {
	all, errs := read(own, "library")
	return all, errors.Join(errs...)
}

// Load returns the program's own playbooks and those of dir, which replace own ones of the same name. Files that are no playbooks
// are left out and told as errors beside the rest; a dir that is not there is empty.
func Load(dir string) ([]Playbook, error) {
	all, errs := read(own, "library")
	if dir != "" {
		users, userErrs := read(os.DirFS(dir), ".")
		errs = append(errs, userErrs...)
		for _, u := range users {
			all = slices.DeleteFunc(all, func(p Playbook) bool { return p.Name == u.Name })
		}
		all = append(all, users...)
	}
	slices.SortFunc(all, func(a, b Playbook) int { return strings.Compare(a.Name, b.Name) })
	return all, errors.Join(errs...)
}

func read(dir fs.FS, below string) (all []Playbook, errs []error) {
	entries, err := fs.ReadDir(dir, below)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, []error{fmt.Errorf("read playbooks: %w", err)}
	}
	from := map[string]string{}
	for _, e := range entries {
		if ext := path.Ext(e.Name()); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		if len(all) >= maxPlaybooks {
			return all, append(errs, fmt.Errorf("more than %d playbooks: the rest is not read", maxPlaybooks))
		}
		p, err := readOne(dir, path.Join(below, e.Name()))
		if err == nil && from[p.Name] != "" {
			err = fmt.Errorf("playbook %s is in %s already", p.Name, from[p.Name])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.Name(), err))
			continue
		}
		from[p.Name] = e.Name()
		all = append(all, p)
	}
	return all, errs
}

func readOne(dir fs.FS, name string) (Playbook, error) {
	f, err := dir.Open(name)
	if err != nil {
		return Playbook{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return Playbook{}, err
	}
	return Parse(text)
}

// ReadFile reads a playbook from a file.
func ReadFile(name string) (Playbook, error) {
	p, err := readOne(os.DirFS(filepath.Dir(name)), filepath.Base(name))
	if err != nil {
		return p, fmt.Errorf("playbook %s: %w", name, err)
	}
	return p, nil
}

// Save writes a playbook into dir, where Load finds it, and returns the file's name. One that is there under the same name is
// replaced only when replace is set.
func Save(dir string, p Playbook, replace bool) (string, error) {
	if err := p.Check(); err != nil {
		return "", fmt.Errorf("playbook %s: %w", p.Name, err)
	}
	text, err := Marshal(p)
	if err != nil {
		return "", err
	}
	if back, err := Parse(text); err != nil || back.Name != p.Name {
		return "", fmt.Errorf("playbook %s cannot be written as YAML: %w", p.Name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("save playbook %s: %w", p.Name, err)
	}
	name := filepath.Join(dir, p.Name+".yaml")
	if _, err := os.Lstat(name); err == nil && !replace {
		return "", fmt.Errorf("there is a playbook %s already, in %s", p.Name, name)
	}
	if err := writeFile(name, text); err != nil {
		return "", fmt.Errorf("save playbook %s: %w", p.Name, err)
	}
	return name, nil
}
