package incidents

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minewarden/minewarden"
)

// The bounds of suppressions.
const (
	maxSuppressions = 1000 // in force; each finding is held against each of them
	maxHistory      = 5000 // that ended
	maxReason       = 4 << 10
	maxSuppressFile = 64 << 20
	// MaxSuppression is the longest that one may last: what is known today may be an attack next year.
	MaxSuppression = 366 * 24 * time.Hour
)

// A Suppression says that findings of one kind are known and of no interest, why, who says so and how long. Of its fields that
// select, all that are set must hold; one must be.
type Suppression struct {
	ID string `json:"id"`
	// Subject is the id of a finding's subject, its host and port of either side, or the id of its process's container. A name
	// is not enough: anybody can take one.
	Subject string `json:"subject,omitempty"`
	SHA256  string `json:"sha256,omitempty"`  // of the executable or file
	Package string `json:"package,omitempty"` // of the executable, as "dpkg:openssl"
	Rule    string `json:"rule,omitempty"`    // ending in "/": all of that prefix
	Path    string `json:"path,omitempty"`    // of the executable or file; ending in "/": all below
	Reason  string `json:"reason"`
	Who     string `json:"who"`
	// EvenCritical lets it hide critical findings, too: these are proof that mining goes on, not a hint.
	EvenCritical bool      `json:"even_critical,omitempty"`
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires"`
	Count        uint64    `json:"count"` // findings that it hid
	Last         time.Time `json:"last,omitzero"`
	Spared       uint64    `json:"spared,omitempty"` // critical findings that fitted and were not hidden
	Ended        time.Time `json:"ended,omitzero"`   // expired or taken back; it then stays ended, whatever the clock says
	EndedBy      string    `json:"ended_by,omitempty"`
}

// Suppressions are those in force and those that were. It is safe for concurrent use.
type Suppressions struct {
	file string
	now  func() time.Time

	disk   sync.Mutex    // held while a change is written; taken before mu
	mu     sync.Mutex    // held for microseconds: findings wait for it
	all    []Suppression // in force first
	latest time.Time     // the clock's highest: time does not go back for what has expired
	dirty  bool
	total  uint64
}

// suppressionFile is what is on disk.
type suppressionFile struct {
	Latest time.Time     `json:"latest"`
	Items  []Suppression `json:"items"`
}

// LoadSuppressions reads those that file keeps; one that is not there is empty. An empty name keeps them in memory only.
func LoadSuppressions(file string, now func() time.Time) (*Suppressions, error) {
	if now == nil {
		now = time.Now
	}
	s := &Suppressions{file: file, now: now}
	if file == "" {
		return s, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read suppressions: %w", err)
	}
	var kept suppressionFile
	b, err := io.ReadAll(io.LimitReader(f, maxSuppressFile))
	if err = errors.Join(err, f.Close()); err == nil {
		err = json.Unmarshal(b, &kept)
	}
	if err != nil {
		// To start without them shows more than wanted; not to start shows nothing.
		aside := file + ".bad"
		return s, errors.Join(fmt.Errorf("suppressions cannot be read, none is in force; the file is kept as %s: %w", aside, err), os.Rename(file, aside))
	}
	s.all, s.latest = kept.Items, kept.Latest
	for _, x := range s.all {
		s.total += x.Count
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	s.order()
	return s, nil
}

// Add puts a suppression into force; it is on disk when Add returns. It fills in ID, Created, and what is counted.
func (s *Suppressions) Add(x Suppression) (Suppression, error) {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	now := s.expire()
	next := slices.Clone(s.all)
	s.mu.Unlock()
	if err := x.check(now); err != nil {
		return Suppression{}, fmt.Errorf("suppress: %w", err)
	}
	n := inForce(next)
	if n >= maxSuppressions {
		return Suppression{}, fmt.Errorf("suppress: %d are in force, which is the most", n)
	}
	x.ID, x.Created, x.Count, x.Spared, x.Last, x.Ended, x.EndedBy = "s-"+strings.ToLower(rand.Text()[:12]), now, 0, 0, time.Time{}, time.Time{}, ""
	x.SHA256 = strings.ToLower(x.SHA256)
	if err := s.write(now, slices.Insert(next, n, x)); err != nil {
		return Suppression{}, fmt.Errorf("suppress: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.Insert(s.all, inForce(s.all), x)
	return x, nil
}

// inForce returns how many are: they come first.
func inForce(all []Suppression) int {
	if n := slices.IndexFunc(all, func(x Suppression) bool { return !x.Ended.IsZero() }); n >= 0 {
		return n
	}
	return len(all)
}

func (x *Suppression) check(now time.Time) error {
	for _, v := range []string{x.Subject, x.SHA256, x.Package, x.Rule, x.Path, x.Who} {
		if len(v) > maxReason || strings.ContainsRune(v, 0) {
			return errors.New("a value is too long, or holds a zero byte")
		}
	}
	switch {
	case x.Subject == "" && x.SHA256 == "" && x.Package == "" && x.Rule == "" && x.Path == "":
		return errors.New("say what: a subject, a hash, a package, a rule or a path")
	case strings.TrimSpace(x.Reason) == "" || len(x.Reason) > maxReason:
		return errors.New("a reason is needed: who reads this in half a year will ask for it")
	case strings.TrimSpace(x.Who) == "":
		return errors.New("it is not known who asks")
	case !x.Expires.After(now):
		return errors.New("it would have expired already")
	case x.Expires.Sub(now) > MaxSuppression:
		return fmt.Errorf("it lasts longer than %d days: renew it then", MaxSuppression/(24*time.Hour))
	case x.SHA256 != "" && (len(x.SHA256) != 64 || strings.Trim(strings.ToLower(x.SHA256), "0123456789abcdef") != ""):
		return errors.New("the hash is no SHA-256 in hexadecimal")
	case x.Rule != "" && !strings.Contains(x.Rule, "/"):
		return fmt.Errorf("rule %q: want prefix/name, or prefix/ for all of them", x.Rule)
	case x.Path != "" && (!path.IsAbs(x.Path) || path.Clean(x.Path) != strings.TrimSuffix(x.Path, "/") || x.Path == "/"):
		return fmt.Errorf("path %q: want a whole path, and below a folder as /folder/", x.Path)
	}
	return nil
}

// Remove ends a suppression; it stays in the list as history.
func (s *Suppressions) Remove(id, who string) (Suppression, error) {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	now := s.expire()
	next := slices.Clone(s.all)
	s.mu.Unlock()
	end := func(all []Suppression) (Suppression, error) {
		i := slices.IndexFunc(all, func(x Suppression) bool { return x.ID == id })
		if i < 0 {
			return Suppression{}, fmt.Errorf("suppression %q: %w", id, minewarden.ErrNotFound)
		}
		if !all[i].Ended.IsZero() {
			return all[i], fmt.Errorf("suppression %s ended already, at %s", id, all[i].Ended.Format(time.DateTime))
		}
		all[i].Ended, all[i].EndedBy = now, who
		return all[i], nil
	}
	x, err := end(next)
	if err != nil {
		return x, err
	}
	if err := s.write(now, next); err != nil {
		return Suppression{}, fmt.Errorf("end suppression %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, err = end(s.all); err != nil { // its time ran out meanwhile
		err = nil
	}
	s.order()
	return x, err
}

// All returns those in force, the newest first, and after them those that ended.
func (s *Suppressions) All() []Suppression {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire()
	out := slices.Clone(s.all)
	slices.SortStableFunc(out[:inForce(out)], func(a, b Suppression) int { return b.Created.Compare(a.Created) })
	return out
}

// Hidden returns how many findings were hidden, ever.
func (s *Suppressions) Hidden() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Match is Config.Suppress. It counts.
func (s *Suppressions) Match(f *minewarden.Finding, r minewarden.Rule) (reason string, suppressed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 || !s.all[0].Ended.IsZero() {
		return "", false
	}
	now := s.tick()
	for i := range s.all {
		x := &s.all[i]
		if !x.Ended.IsZero() {
			break
		}
		if !x.Expires.After(now) || !x.fits(f) {
			continue
		}
		s.dirty = true
		if r.Severity >= minewarden.Critical && !x.EvenCritical {
			x.Spared++
			continue
		}
		x.Count++
		x.Last = now
		s.total++
		return x.Reason, true
	}
	return "", false
}

func (x *Suppression) fits(f *minewarden.Finding) bool {
	p := f.Process
	if x.Rule != "" && x.Rule != f.Rule && !(strings.HasSuffix(x.Rule, "/") && strings.HasPrefix(f.Rule, x.Rule)) {
		return false
	}
	if x.Subject != "" && x.Subject != f.Subject.ID && x.Subject != f.Subject.Server && x.Subject != f.Subject.Client &&
		(p == nil || p.Container.ID == "" || x.Subject != p.Container.ID) {
		return false
	}
	if x.Package != "" && (p == nil || x.Package != p.Package) {
		return false
	}
	if x.Path != "" && !(f.Subject.Type == minewarden.SubjectFile && under(x.Path, f.Subject.ID)) && !(p != nil && under(x.Path, p.Exe)) {
		return false
	}
	if x.SHA256 != "" && !(p != nil && strings.EqualFold(x.SHA256, p.SHA256)) &&
		!slices.ContainsFunc(f.Evidence, func(e minewarden.Evidence) bool {
			return e.Key == "sha256" && strings.EqualFold(e.Value, x.SHA256)
		}) {
		return false
	}
	return true
}

func under(pattern, name string) bool {
	return pattern == name || strings.HasSuffix(pattern, "/") && strings.HasPrefix(path.Clean(name), pattern)
}

// tick returns the clock's highest so far.
func (s *Suppressions) tick() time.Time {
	if now := s.now().Round(0); now.After(s.latest) {
		s.latest = now
	}
	return s.latest
}

// expire ends those whose time is over.
func (s *Suppressions) expire() time.Time {
	now := s.tick()
	changed := false
	for i := range s.all {
		if x := &s.all[i]; x.Ended.IsZero() && !x.Expires.After(now) {
			x.Ended, x.EndedBy, changed = x.Expires, "its time was over", true
		}
	}
	if changed {
		s.dirty = true
		s.order()
	}
	return now
}

// order puts those in force first, and forgets the oldest of the others.
func (s *Suppressions) order() {
	slices.SortStableFunc(s.all, func(a, b Suppression) int {
		switch {
		case a.Ended.IsZero() && b.Ended.IsZero():
			return 0
		case a.Ended.IsZero():
			return -1
		case b.Ended.IsZero():
			return 1
		}
		return b.Ended.Compare(a.Ended)
	})
	s.all = s.all[:min(len(s.all), maxSuppressions+maxHistory)]
}

// Flush saves what was counted and what expired since the last time. Call it now and then, and at the end.
func (s *Suppressions) Flush() error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	now := s.expire()
	dirty, next := s.dirty, slices.Clone(s.all)
	s.dirty = false
	s.mu.Unlock()
	if !dirty {
		return nil
	}
	err := s.write(now, next)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dirty = true
		return fmt.Errorf("save suppressions: %w", err)
	}
	return nil
}

// write replaces the file: whole, synced, or as it was.
func (s *Suppressions) write(latest time.Time, all []Suppression) error {
	if s.file == "" {
		return nil
	}
	b, err := json.Marshal(suppressionFile{latest, all})
	if err != nil {
		return err
	}
	return replaceFile(s.file, append(b, '\n'))
}

func replaceFile(name string, content []byte) error {
	next := name + ".partial"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(next, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
