package recovery

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

const (
	maxPaths = 256 // of an incident
	maxUnits = 32
)

// target is a file to restore, as it was when that was planned.
type target struct {
	Path string `json:"path"`
	// From is the archive of Package, or a file of a backup; empty: the archive is to be downloaded.
	From    string `json:"from,omitempty"`
	Package *pkg   `json:"package,omitempty"`
	Member  string `json:"member,omitempty"` // the path inside the archive
	MD5     string `json:"md5,omitempty"`    // of a package's file
	SHA256  string `json:"sha256,omitempty"` // of a backup's file, or of the archive as apt's signed lists have it
	Old     *meta  `json:"old,omitempty"`    // nil: there is nothing
}

func (t *target) origin() string {
	if t.Package != nil {
		return "package " + t.Package.Name + " " + t.Package.Version
	}
	return "the backup " + t.From
}

// touched are the files that an incident names.
type touched struct {
	named []string        // subjects of findings and files in quarantine: what may be restored although it is configuration
	other []string        // the rest
	bad   map[string]bool // SHA-256 of what was mined with or taken away: never restored from a backup
}

func touchedBy(inc *minewarden.Incident) touched {
	t := touched{bad: map[string]bool{}}
	add := func(list *[]string, path string) {
		if len(path) > 1 && len(path) <= 4096 && path[0] == '/' && !strings.ContainsRune(path, 0) && len(t.named)+len(t.other) < maxPaths && !volatile(path) {
			if path = filepath.Clean(path); !slices.Contains(t.named, path) && !slices.Contains(t.other, path) {
				*list = append(*list, path)
			}
		}
	}
	for i := range inc.Findings {
		if s := &inc.Findings[i].Subject; s.Type == minewarden.SubjectFile {
			add(&t.named, s.ID)
		}
	}
	for i := range inc.Actions {
		a := &inc.Actions[i]
		if a.Action.Responder == "quarantine" && a.OK && a.Undone.IsZero() {
			add(&t.named, a.State["path"])
			t.bad[a.State["sha256"]] = true
		}
		if a.Action.Responder == Name && a.Action.Op == VerifyPackage && a.OK {
			var found []Difference
			if err := json.Unmarshal([]byte(a.State["damaged"]), &found); err == nil {
				for _, f := range found[:min(len(found), maxDamaged)] {
					if !f.Conf {
						add(&t.other, f.Path)
					}
				}
			}
		}
	}
	for i := range inc.Findings {
		for _, e := range inc.Findings[i].Evidence {
			add(&t.other, e.Value)
		}
	}
	for i := range inc.Members {
		m := &inc.Members[i]
		if m.Container.ID == "" {
			add(&t.other, m.Exe)
		}
		if m.SHA256 != "" && m.Package == "" {
			t.bad[m.SHA256] = true
		}
	}
	return t
}

// volatile reports whether a path is of a file system that no package and no backup has.
func volatile(path string) bool {
	return slices.ContainsFunc([]string{"/proc/", "/sys/", "/dev/", "/run/", "/tmp/"}, func(top string) bool { return strings.HasPrefix(path, top) })
}

// Plan implements minewarden.Responder: packages to verify, files to restore, units to look at.
func (r *Responder) Plan(ctx context.Context, inc minewarden.Incident) ([]minewarden.Action, error) {
	t := touchedBy(&inc)
	var actions []minewarden.Action
	var err error
	if len(t.named)+len(t.other) > 0 {
		if actions, err = r.planFiles(ctx, &inc, &t); err != nil {
			return nil, fmt.Errorf("plan for incident %s: %w", inc.ID, err)
		}
	}
	for _, u := range r.units(&inc) {
		a := r.action(&inc, CheckUnit, minewarden.Subject{Type: minewarden.SubjectService, ID: u, Host: inc.Host}, "look whether unit "+u+" is healthy")
		a.Params = map[string]string{paramUnit: u}
		if why := r.noUnits(); why != "" {
			a.Refused = []string{u + ": " + why}
		} else {
			a.Blast = []string{"asks systemd about " + u}
		}
		actions = append(actions, a)
	}
	return actions, ctx.Err()
}

func (r *Responder) action(inc *minewarden.Incident, op string, target minewarden.Subject, summary string) minewarden.Action {
	return minewarden.Action{ID: op + "-" + rand.Text(), Responder: Name, Op: op, Incident: inc.ID, Target: target, Summary: summary}
}

func (r *Responder) planFiles(ctx context.Context, inc *minewarden.Incident, t *touched) ([]minewarden.Action, error) {
	paths := make([]string, 0, len(t.named)+len(t.other))
	named := map[string]bool{}
	for i, p := range slices.Concat(t.named, t.other) {
		p, err := r.root.canonical(p)
		if err != nil { // its directory is gone, or never was
			continue
		}
		if !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
		named[p] = named[p] || i < len(t.named)
	}
	owner, packages, err := r.packages(ctx, paths)
	if err != nil {
		return nil, err
	}
	var verify, restore []minewarden.Action
	seen := map[string]bool{}
	for _, p := range paths {
		id := owner[p]
		if id != "" && !seen[id] {
			seen[id] = true
			a := r.action(inc, VerifyPackage, minewarden.Subject{Type: minewarden.SubjectFile, ID: p, Host: inc.Host}, "compare the files of package "+id+" with what it installed")
			a.Blast, a.Params = []string{"reads the files of package " + id}, map[string]string{paramPackage: id}
			verify = append(verify, a)
		}
		a, err := r.planRestore(ctx, inc, p, named[p], packages[id], t.bad)
		if err != nil {
			return nil, err
		}
		if a != nil {
			restore = append(restore, *a)
		}
	}
	return slices.Concat(verify, restore), nil
}

// packages returns the owner of each path, as "dpkg:bash", and what is known of dpkg's.
func (r *Responder) packages(ctx context.Context, paths []string) (map[string]string, map[string]*pkg, error) {
	owner, packages := map[string]string{}, map[string]*pkg{}
	if d := (debian{r.root}); d.present() {
		found, err := d.owners(ctx, paths)
		if err != nil {
			return nil, nil, err
		}
		var ids []string
		for path, id := range found {
			owner[path] = "dpkg:" + id
			ids = append(ids, id)
		}
		known, err := d.load(ids)
		if err != nil {
			return nil, nil, err
		}
		for id, p := range known {
			packages["dpkg:"+id] = p
		}
	}
	for path, id := range (red{r.config.Root}).owners(ctx, paths) {
		owner[path] = "rpm:" + id
	}
	return owner, packages, nil
}

// planRestore returns how a file would be restored; nil: it need not, or nothing has it.
func (r *Responder) planRestore(ctx context.Context, inc *minewarden.Incident, path string, named bool, p *pkg, bad map[string]bool) (*minewarden.Action, error) {
	s, err := r.root.spot(path)
	if err != nil {
		return nil, nil //nolint:nilerr // its directory is gone: nothing can be put there in one step
	}
	defer func() { _ = s.close() }() // only looked into
	a := r.action(inc, RestoreFile, minewarden.Subject{Type: minewarden.SubjectFile, ID: path, Host: inc.Host}, "")
	t := target{Path: path}
	if t.Old, err = s.look(s.name); err != nil {
		a.Summary, a.Refused = "restore "+path, []string{err.Error()}
		return &a, nil //nolint:nilerr // the plan says it
	}
	ok, conf, err := r.fromPackage(ctx, &t, named, p)
	if err == nil && !ok && (p == nil || conf || t.MD5 != "") {
		ok, err = r.fromBackup(ctx, &t, bad)
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		if t.MD5 == "" {
			return nil, nil
		}
		a.Summary = fmt.Sprintf("restore %s, which is not as package %s installed it", path, p.Name)
		a.Refused = []string{fmt.Sprintf("%s: %s_%s_%s.deb is in none of %s, and no backup has the file", path, p.Name, p.Version, p.Arch, strings.Join(r.config.Archives, " "))}
		return &a, nil
	}
	a.Reversible = true
	a.Summary = fmt.Sprintf("restore %s from %s", path, t.origin())
	a.Blast = []string{describe(&t)}
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	a.Params = map[string]string{paramTarget: string(b)}
	return &a, nil
}

func describe(t *target) string {
	path := terminal.Safe(t.Path)
	switch {
	case t.Old == nil:
		return path + ", which is missing"
	case t.Old.Link != "":
		return fmt.Sprintf("%s, now a link to %s", path, terminal.Safe(t.Old.Link))
	case t.Old.Links > 1:
		return fmt.Sprintf("%s, now %d bytes, mode %04o, with %d more names, which stay as they are", path, t.Old.Size, t.Old.Mode&0o7777, t.Old.Links-1)
	}
	return fmt.Sprintf("%s, now %d bytes, mode %04o, owner %d:%d; what it holds is kept", path, t.Old.Size, t.Old.Mode&0o7777, t.Old.UID, t.Old.GID)
}

// fromPackage fills t if the file is not as its package installed it, and the package's archive is at hand. Configuration is left as it
// is, unless somebody named it, or it is missing: administrators change it.
func (r *Responder) fromPackage(ctx context.Context, t *target, named bool, p *pkg) (ok, conf bool, err error) {
	if p == nil {
		return false, false, nil
	}
	d := debian{r.root}
	sums, err := d.sums(p.ID)
	if err != nil {
		return false, false, err
	}
	for _, s := range d.listedAs(t.Path, p) {
		if t.MD5 = sums[s]; t.MD5 == "" {
			t.MD5, conf = p.Conf[s], p.Conf[s] != ""
		}
		if t.MD5 != "" {
			t.Member = s
			break
		}
	}
	if t.MD5 == "" {
		return false, false, nil // a directory, or what the package made later
	}
	if t.Old != nil && (t.Old.Link == "" && d.compare(ctx, t.Path, t.MD5) == "" || conf && !named) {
		t.MD5 = ""
		return false, conf, nil
	}
	t.Package = &pkg{ID: p.ID, Name: p.Name, Version: p.Version, Arch: p.Arch}
	t.From = d.archive(p, r.config.Archives)
	if t.From == "" && !r.config.Download {
		t.Package = nil
		return false, conf, nil
	}
	if t.SHA256, err = d.listed(p); err != nil {
		r.log.Warn("apt's lists cannot be read; the archive is compared with dpkg's database alone", "package", p.Name, "error", err)
	}
	return true, conf, nil
}

// listedAs returns the paths under which the archive of p may have the file.
func (d debian) listedAs(path string, p *pkg) []string {
	out := spellings(path)
	if v, err := d.diversions(); err == nil {
		if m, ok := v[path]; ok && m.to == path && m.by != p.Name {
			out = append(out, spellings(m.from)...)
		}
	}
	return out
}

// fromBackup fills t from the first backup that has the file, if that differs.
func (r *Responder) fromBackup(ctx context.Context, t *target, bad map[string]bool) (bool, error) {
	for _, dir := range r.config.Backup {
		path := filepath.Join(dir, t.Path)
		f, m, err := openFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errKind) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("look into the backup: %w", err)
		}
		sum, err := shaOfFile(ctx, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return false, fmt.Errorf("look into the backup: %s: %w", path, err)
		}
		if bad[sum] {
			continue // the backup was made when it was there already
		}
		if t.Old != nil && t.Old.Link == "" && t.Old.Size == m.Size {
			if now, err := r.sumNow(ctx, t.Path); err == nil && now == sum {
				return false, nil // it is as it was
			}
		}
		t.From, t.SHA256, t.Package, t.Member, t.MD5 = path, sum, nil, "", ""
		return true, nil
	}
	return false, nil
}

func (r *Responder) sumNow(ctx context.Context, path string) (string, error) {
	f, err := r.root.open(path)
	if err != nil {
		return "", err
	}
	sum, err := shaOfFile(ctx, f)
	return sum, errors.Join(err, f.Close())
}

// content opens the source of t.
func (r *Responder) content(ctx context.Context, t *target) (content, error) {
	if t.Package == nil {
		return fromBackup(t.From, t.SHA256), nil
	}
	deb := t.From
	if deb == "" {
		dir := filepath.Join(r.dir, "download")
		if err := download(ctx, dir, t.Package); err != nil {
			return nil, err
		}
		if deb = (debian{r.root}).archive(t.Package, []string{dir}); deb == "" {
			return nil, fmt.Errorf("apt did not fetch %s %s", t.Package.Name, t.Package.Version)
		}
	}
	if t.SHA256 != "" {
		f, err := os.Open(deb)
		if err != nil {
			return nil, err
		}
		sum, err := shaOfFile(ctx, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if sum != t.SHA256 {
			return nil, fmt.Errorf("%s has sha256 %s, the signed lists of apt say %s: it was changed", deb, sum, t.SHA256)
		}
	}
	return fromDeb(deb, t.Member, t.MD5), nil
}
