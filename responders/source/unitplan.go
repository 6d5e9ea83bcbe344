package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/edit"
)

// units plans to disable the units whose cgroups the members run in, where the unit itself names a program of the lineage: the
// unit of a service that was broken into starts no miner.
func (p *planner) units(ctx context.Context) {
	for _, name := range p.facts.units {
		for _, dir := range unitDirs {
			if ctx.Err() != nil {
				return
			}
			p.file(dir+"/"+name, claim{}, false)
			if template := templateOf(name); template != "" {
				p.file(dir+"/"+template, claim{}, false)
			}
		}
	}
}

// templateOf returns name@.service for name@instance.service, else "".
func templateOf(name string) string {
	stem, instance, ok := strings.Cut(name, "@")
	if !ok || strings.HasPrefix(instance, ".") {
		return ""
	}
	return stem + "@" + filepath.Ext(name)
}

// unit plans for a unit's file, or one beside it: the whole unit is disabled when what it is for is the miner's; what was added
// to another's unit is taken out of it.
func (p *planner) unit(f *edit.File, hunks []edit.Hunk) {
	name := filepath.Base(f.Path)
	target := minewarden.Subject{Type: minewarden.SubjectFile, ID: f.Path, Name: name}
	main := false
	lines := edit.Split(f.Data)
	for _, h := range hunks {
		for _, l := range lines[h.At : h.At+h.N] {
			key, _, _ := strings.Cut(strings.TrimSpace(l), "=")
			main = main || strings.TrimSpace(key) == "ExecStart"
		}
	}
	if strings.HasSuffix(filepath.Dir(f.Path), ".d") || !main {
		p.lines(OpDisableUnit, target, f, hunks)
		return
	}
	p.disable(f, name, true)
	stem := strings.TrimSuffix(name, ".service")
	for _, ext := range [...]string{".timer", ".path", ".socket"} { // what starts it
		for _, dir := range append(slices.Clone(unitDirs[:]), filepath.Dir(f.Path)) {
			other, err := p.root.Open(dir + "/" + stem + ext)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil {
				err = other.Close()
			}
			if err != nil {
				p.refuse(OpDisableUnit, minewarden.Subject{Type: minewarden.SubjectFile, ID: dir + "/" + stem + ext, Name: stem + ext}, err)
				continue
			}
			p.disable(other, stem+ext, false)
		}
	}
}

// disable plans to take the links to a unit away, and to stop it.
func (p *planner) disable(f *edit.File, name string, told bool) {
	target := minewarden.Subject{Type: minewarden.SubjectFile, ID: f.Path, Name: name}
	c := change{Kind: kindUnit, Path: f.Path, SHA: f.SHA, Unit: name, User: strings.Contains(f.Path, "/systemd/user/")}
	dirs := unitDirs[:]
	if c.User {
		dirs = []string{userUnits, filepath.Dir(f.Path)}
	}
	var diff strings.Builder
	seen := map[string]bool{}
	for _, dir := range dirs {
		if seen[dir] {
			continue
		}
		seen[dir] = true
		links, err := p.links(dir, name)
		if err != nil {
			p.refuse(OpDisableUnit, target, err)
			return
		}
		c.Links = append(c.Links, links...)
	}
	var blast []string
	for _, l := range c.Links {
		blast = append(blast, fmt.Sprintf("link %q to %q is taken away", l.Path, l.Target))
		fmt.Fprintf(&diff, "--- a%[1]s\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-%[2]s\n\\ No newline at end of file\n", show(l.Path), show(l.Target))
	}
	running := p.systemd() && !c.User
	if running {
		blast = append(blast, fmt.Sprintf("unit %s is stopped if it runs", name))
	} else if c.User {
		blast = append(blast, "the user's systemd is not told: what runs goes on until it is frozen or killed")
	}
	if len(c.Links) == 0 && !running {
		if told {
			p.refuse(OpDisableUnit, target, fmt.Errorf("unit %s is not enabled, and no systemd runs that could stop it", name))
		}
		return
	}
	p.add(minewarden.Action{
		Op: OpDisableUnit, Target: target, Blast: append(blast, fmt.Sprintf("%q stays as it is", f.Path)),
		Reversible: !strings.HasPrefix(f.Path, "/run/systemd/transient/"), // such a unit is gone when it stops
		Summary:    fmt.Sprintf("stop and disable unit %s", name),
	}, c, diff.String())
}

// links returns the links in a directory of units that start a unit or are other names of it.
func (p *planner) links(dir, name string) ([]edit.Link, error) {
	names, err := p.root.Names(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []edit.Link
	add := func(path string, byTarget bool) error {
		l, err := p.root.ReadLink(path)
		if errors.Is(err, edit.ErrRefused) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if !byTarget || filepath.Base(l.Target) == name {
			out = append(out, l)
		}
		return nil
	}
	for _, n := range names {
		if !strings.HasSuffix(n, ".wants") && !strings.HasSuffix(n, ".requires") && !strings.HasSuffix(n, ".upholds") {
			if n != name && strings.Contains(n, ".") {
				if err := add(dir+"/"+n, true); err != nil {
					return nil, err
				}
			}
			continue
		}
		in, err := p.root.Names(dir + "/" + n)
		if errors.Is(err, edit.ErrRefused) {
			continue
		}
		if err != nil {
			return nil, err
		}
		slices.Sort(in)
		for _, w := range in {
			if w == name || templateOf(w) == name {
				if err := add(dir+"/"+n+"/"+w, false); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}
