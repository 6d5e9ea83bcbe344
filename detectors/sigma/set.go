package sigma

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	maxFiles = 100_000 // of one folder
	maxRules = 100_000 // of one set
)

// A Set is rules, compiled. It is immutable and may be shared.
type Set struct {
	rules        []*Rule // detections
	correlations []*Rule
	problems     []Problem
	files        int
	groups       []*group
	fieldIDs     map[string]int32
	fieldNames   []string
	wired        wiring
	byID         map[string]*Rule
	graph        graph
}

// Rules returns the detection and correlation rules that run.
func (s *Set) Rules() []*Rule { return slices.Concat(s.rules, s.correlations) }

// Problems returns why the other rules do not, in the order of the files.
func (s *Set) Problems() []Problem { return s.problems }

// Files returns the number of rule files that were read.
func (s *Set) Files() int { return s.files }

// Rule returns the rule of that id that runs.
func (s *Set) Rule(id string) (*Rule, bool) {
	r, ok := s.byID[id]
	return r, ok
}

// A Folder is a tree of rule files (*.yml, *.yaml) with the name that people know it by.
type Folder struct {
	Name string
	FS   fs.FS
}

// Load reads and compiles all rules of the folders. A rule that cannot run is a Problem; only a folder that cannot be read
// is an error. Where two rules have one id, the later folder's is used, so that users can replace ours.
func Load(placeholders map[string][]string, folders ...Folder) (*Set, error) {
	var rules []*Rule
	var problems []Problem
	files := 0
	for _, folder := range folders {
		err := fs.WalkDir(folder.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != "." {
				return fs.SkipDir
			}
			if ext := path.Ext(name); d.IsDir() || ext != ".yml" && ext != ".yaml" {
				return nil
			}
			if files++; files > maxFiles {
				return fmt.Errorf("more than %d rule files", maxFiles)
			}
			shown := path.Join(folder.Name, name)
			text, err := readFile(folder.FS, name)
			if err != nil {
				problems = append(problems, problemOf(shown, "", err))
				return nil
			}
			got, bad := parseFile(shown, text, placeholders)
			rules, problems = append(rules, got...), append(problems, bad...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read rules of %s: %w", folder.Name, err)
		}
	}
	s := Compile(rules)
	s.files = files
	s.problems = append(problems, s.problems...)
	slices.SortStableFunc(s.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return s, nil
}

// Parse reads the rules of one text.
func Parse(name string, text []byte, placeholders map[string][]string) ([]*Rule, []Problem) {
	return parseFile(name, text, placeholders)
}

func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("the file has %d bytes; at most %d are read", info.Size(), maxFileBytes)
	}
	return fs.ReadFile(fsys, name)
}

// Compile joins rules, correlations and filters into a set.
func Compile(rules []*Rule) *Set {
	s := &Set{fieldIDs: map[string]int32{}, byID: map[string]*Rule{}}
	s.field("") // anyField
	problem := func(r *Rule, format string, args ...any) {
		s.problems = append(s.problems, Problem{r.File, r.Line, 1, r.ID, fmt.Sprintf(format, args...)})
	}
	if len(rules) > maxRules {
		problem(rules[maxRules], "more than %d rules: this one and those after it are left out", maxRules)
		rules = rules[:maxRules]
	}
	kept := make([]*Rule, 0, len(rules))
	index := map[string]int{}
	for _, r := range rules {
		c := *r // rules are shared between sets; filters and correlations change their copy only
		if i, ok := index[r.ID]; ok {
			if sameFolder(kept[i].File, r.File) {
				problem(r, "the id is that of %s:%d too: this one is left out", kept[i].File, kept[i].Line)
			} else {
				kept[i] = &c
			}
			continue
		}
		index[r.ID] = len(kept)
		kept = append(kept, &c)
	}
	s.applyFilters(kept, problem)
	for _, r := range kept {
		switch {
		case r.correlation != nil:
			s.correlations = append(s.correlations, r)
		case r.expr != nil:
			s.rules = append(s.rules, r)
		}
	}
	s.correlate(problem)
	for _, r := range s.Rules() {
		s.byID[r.ID] = r
	}
	bySource := map[Logsource][]*Rule{}
	var order []Logsource
	for _, r := range s.rules {
		if bySource[r.Source] == nil {
			order = append(order, r.Source)
		}
		bySource[r.Source] = append(bySource[r.Source], r)
	}
	for _, source := range order {
		s.groups = append(s.groups, newGroup(source, bySource[source], s.field))
	}
	s.wired = s.wire()
	return s
}

func sameFolder(a, b string) bool {
	a, _, _ = strings.Cut(a, "/")
	b, _, _ = strings.Cut(b, "/")
	return a == b
}

// field returns the number of a field name, a new one where it has none yet.
func (s *Set) field(name string) int32 {
	id, ok := s.fieldIDs[name]
	if !ok {
		id = int32(len(s.fieldNames))
		s.fieldIDs[name] = id
		s.fieldNames = append(s.fieldNames, name)
	}
	return id
}
