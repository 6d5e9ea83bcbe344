package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/responders/internal/accounts"
	"github.com/minewarden/minewarden/responders/internal/edit"
)

// A spot is a sort of file from which the system starts things.
type spot uint8

const (
	spotNone    spot = iota
	spotCron         // a table: lines
	spotScript       // run whole by cron or at: the mode decides
	spotUnit         // a unit, or what is dropped in beside one
	spotProfile      // shell text that is read or run at a login or at the start
	spotPreload
	spotKeys
	spotHook      // of Git: the mode decides
	spotGitConfig // of Git: lines
)

var spotOps = map[spot]string{
	spotCron: OpDisableCron, spotScript: OpDisableCron, spotUnit: OpDisableUnit, spotProfile: OpCleanProfile, spotPreload: OpRemovePreload,
	spotKeys: OpRemoveKey, spotHook: OpDisableHook, spotGitConfig: OpDisableHook,
}

var unitDirs = [...]string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/run/systemd/transient"}

const userUnits = "/etc/systemd/user"

var fixedSpots = map[string]spot{
	"/etc/crontab": spotCron, "/etc/anacrontab": spotCron, "/etc/ld.so.preload": spotPreload, "/etc/rc.local": spotProfile, "/etc/rc.d/rc.local": spotProfile,
	"/etc/profile": spotProfile, "/etc/bash.bashrc": spotProfile, "/etc/bashrc": spotProfile, "/etc/zsh/zshrc": spotProfile, "/etc/zsh/zprofile": spotProfile,
	"/etc/zshrc": spotProfile, "/etc/zsh/zshenv": spotProfile, "/etc/environment": spotProfile, "/etc/gitconfig": spotGitConfig,
}

var dirSpots = [...]struct {
	dir string
	is  spot
}{
	{"/etc/cron.d", spotCron},
	{"/var/spool/cron", spotCron},
	{"/var/spool/cron/crontabs", spotCron},
	{"/var/spool/cron/atjobs", spotScript},
	{"/var/spool/at", spotScript},
	{"/etc/cron.hourly", spotScript},
	{"/etc/cron.daily", spotScript},
	{"/etc/cron.weekly", spotScript},
	{"/etc/cron.monthly", spotScript},
	{"/etc/profile.d", spotProfile},
	{"/etc/init.d", spotProfile},
	{"/etc/update-motd.d", spotProfile},
}

var homeSpots = map[string]spot{
	".bashrc": spotProfile, ".bash_profile": spotProfile, ".bash_login": spotProfile, ".bash_logout": spotProfile, ".profile": spotProfile, ".zshrc": spotProfile,
	".zprofile": spotProfile, ".zshenv": spotProfile, ".zlogin": spotProfile, ".gitconfig": spotGitConfig, ".config/git/config": spotGitConfig,
	".ssh/authorized_keys": spotKeys, ".ssh/authorized_keys2": spotKeys,
}

func spotOf(path string) spot {
	if is, ok := fixedSpots[path]; ok {
		return is
	}
	dir := filepath.Dir(path)
	for _, d := range dirSpots {
		if d.dir == dir {
			return d.is
		}
	}
	for _, d := range unitDirs {
		if strings.HasPrefix(path, d+"/") {
			return spotUnit
		}
	}
	if strings.HasPrefix(path, userUnits+"/") || strings.Contains(path, "/.config/systemd/user/") {
		return spotUnit
	}
	for end, is := range homeSpots {
		if strings.HasSuffix(path, "/"+end) {
			return is
		}
	}
	if _, rest, ok := strings.Cut(path, "/hooks/"); ok && rest != "" && !strings.HasSuffix(path, ".sample") {
		return spotHook
	}
	return spotNone
}

const (
	maxHomes = 256
	maxScan  = 8192 // files
	maxHunks = 512  // of one file: the diff must be something that a person reads
)

// files plans the changes of files: those that findings are about, and those that name a program of the lineage.
func (p *planner) files(ctx context.Context) {
	for _, path := range slices.Sorted(maps.Keys(p.facts.files)) {
		if ctx.Err() != nil {
			return
		}
		p.file(path, p.facts.files[path], true)
	}
	if len(p.facts.paths) == 0 {
		return
	}
	n := 0
	look := func(path string) {
		if _, told := p.facts.files[path]; told {
			return
		}
		if n++; n <= maxScan && ctx.Err() == nil {
			p.file(path, claim{}, false)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(fixedSpots)) {
		look(path)
	}
	dirs := slices.Concat(unitDirs[:], []string{userUnits})
	for _, d := range dirSpots {
		dirs = append(dirs, d.dir)
	}
	all, err := accounts.Read(p.root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.book.Log.Warn("homes are not searched for what starts a miner", "error", err)
	}
	homes := map[string]bool{}
	for i := range all {
		h := filepath.Clean(all[i].Home)
		if !filepath.IsAbs(h) || h == "/" || homes[h] || len(homes) >= maxHomes {
			continue
		}
		homes[h] = true
		for _, end := range slices.Sorted(maps.Keys(homeSpots)) {
			look(h + "/" + end)
		}
		dirs = append(dirs, h+"/.config/systemd/user")
	}
	for _, dir := range dirs {
		names, err := p.root.Names(dir)
		// System accounts have homes such as /bin, which is a link: nobody starts anything from there.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, edit.ErrRefused) && !errors.Is(err, syscall.ENOTDIR) {
			p.book.Log.Warn("a directory is not searched, or not all of it", "directory", dir, "error", err)
		}
		slices.Sort(names)
		for _, name := range names {
			if strings.HasSuffix(name, ".service.d") {
				in, err := p.root.Names(dir + "/" + name)
				if err != nil {
					p.book.Log.Warn("a directory is not searched", "directory", dir+"/"+name, "error", err)
				}
				for _, drop := range in {
					look(dir + "/" + name + "/" + drop)
				}
				continue
			}
			look(dir + "/" + name)
		}
	}
}

// file plans the change of one file. told says that a finding is about it.
func (p *planner) file(path string, c claim, told bool) {
	is := spotOf(path)
	op := spotOps[is]
	target := minewarden.Subject{Type: minewarden.SubjectFile, ID: path}
	f, err := p.root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return // gone already
	}
	if err != nil {
		if told && (c.grave || len(c.texts) > 0) {
			p.refuse(op, target, err)
		} else if !errors.Is(err, edit.ErrRefused) && !errors.Is(err, fs.ErrInvalid) {
			p.book.Log.Warn("a file is not searched for what starts a miner", "path", path, "error", err)
		}
		return
	}
	if err := f.Close(); err != nil {
		p.refuse(op, target, err)
		return
	}
	if !told && !p.facts.named(string(f.Data)) {
		return
	}
	hunks, byHand := p.facts.minerHunks(is, f.Data, c)
	switch {
	case len(hunks) > maxHunks:
		p.refuse(op, target, fmt.Errorf("%q: more than %d places of it are the miner's: quarantine it, or look at it by hand", path, maxHunks))
		return
	case byHand && is == spotProfile:
		p.refuse(op, target, fmt.Errorf("%q: a line of the miner's begins or ends what other lines go on with: take it out by hand", path))
		return
	case is == spotHook && (c.grave || len(hunks) > 0), is == spotScript && (len(hunks) > 0 || c.broken) && !p.packaged(path):
		p.mode(op, target, f)
		return
	case len(hunks) == 0:
		if told && c.grave {
			p.refuse(op, target, fmt.Errorf("%q: which of its lines are the miner's cannot be told: look at it by hand", path))
		}
		return
	case is == spotUnit:
		p.unit(f, hunks)
		return
	case is == spotKeys:
		if why := p.lockout(f, hunks); why != nil {
			p.refuse(op, target, why)
			return
		}
	}
	p.lines(op, target, f, hunks)
}

func (p *planner) lines(op string, target minewarden.Subject, f *edit.File, hunks []edit.Hunk) {
	n := 0
	for _, h := range hunks {
		n += h.N
	}
	p.add(minewarden.Action{
		Op: op, Target: target, Reversible: true, Summary: fmt.Sprintf("take %d lines of the miner's out of %q", n, f.Path),
		Blast: []string{fmt.Sprintf("%q: %d of %d lines; the others, mode, owner and attributes stay", f.Path, n, len(edit.Split(f.Data)))},
	}, change{Kind: kindLines, Path: f.Path, SHA: f.SHA, Hunks: hunks}, edit.Diff(f.Path, f.Data, hunks, show))
}

func (p *planner) mode(op string, target minewarden.Subject, f *edit.File) {
	mode := f.Meta.Mode & 0o7777 &^ 0o111
	if mode == f.Meta.Mode&0o7777 {
		return // it is not run as it is
	}
	p.add(minewarden.Action{
		Op: op, Target: target, Reversible: true, Summary: fmt.Sprintf("keep %q from being run", f.Path),
		Blast: []string{fmt.Sprintf("%q: mode %04o becomes %04o; the content stays", f.Path, f.Meta.Mode&0o7777, mode)},
	}, change{Kind: kindMode, Path: f.Path, SHA: f.SHA, Mode: mode}, fmt.Sprintf("diff --git a%[1]s b%[1]s\nold mode %06[2]o\nnew mode %06[3]o\n", f.Path, f.Meta.Mode, f.Meta.Mode&^0o111))
}

// lockout says why taking a key away would leave nobody who can become root.
func (p *planner) lockout(f *edit.File, hunks []edit.Hunk) error {
	all, err := accounts.Read(p.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a tree without accounts locks nobody out
	}
	if err != nil {
		return fmt.Errorf("who else could log in is not known: %w", err)
	}
	after, _, err := edit.Apply(f.Data, hunks)
	if err != nil {
		return err
	}
	return accounts.Locked(p.root, all, f.Path, after)
}

// packaged reports whether a script of /etc was installed by a Debian package: then its own lines are not the miner's.
func (r *Responder) packaged(path string) bool {
	f, err := os.Open(filepath.Join(r.root.Dir, "var/lib/dpkg/status"))
	if err != nil {
		return false // no such system, or not known: the script as a whole is shown in the plan
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 128<<20))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), " "+path+" ") {
			return true
		}
	}
	return false
}
