package chinese_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/goccy/go-yaml"

	"github.com/minewarden/minewarden/internal/chinese"
)

// playbookTexts are the titles and descriptions of our own playbooks.
func playbookTexts(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "playbooks/library/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no playbooks: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Title, Description string
			Steps              []struct{ Title, Description string }
		}
		if err := yaml.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Title, p.Description)
		for _, s := range p.Steps {
			all = append(all, s.Title, s.Description)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}

var (
	joints = regexp.MustCompile(`; | \(|, `)
	verbs  = regexp.MustCompile(`%(?:\[[0-9]\])?[-+# 0]*[0-9]*(?:\.[0-9]+)?[a-zA-Z]`)
	holes  = regexp.MustCompile(`\{([1-9])~?\}`)
)

// TestTextsAreNotStale: every English sentence of the table is still in the program, as it is or as a part of what it puts together.
func TestTextsAreNotStale(t *testing.T) {
	var said strings.Builder
	for text := range literals(t, "responders", "incidents", "playbooks", "drills", "console", "app", "sensors", "detectors", "audits", "pipeline", "posture", "internal", ".") {
		said.WriteString("\x00" + text + "\x00")
	}
	for _, text := range playbookTexts(t) {
		said.WriteString("\x00" + text + "\x00")
	}
	all := said.String()
	for _, p := range chinese.Texts() {
		if strings.Contains(all, "\x00"+p.English+"\x00") {
			continue
		}
		// Put together from pieces, such as a count: each piece of prose must be there.
		for _, piece := range verbs.Split(strings.TrimPrefix(p.English, "1 "), -1) {
			for _, part := range joints.Split(piece, -1) {
				if part = strings.TrimSpace(part); len(part) > 2 && !strings.Contains(all, part) && !strings.Contains(all, strings.TrimSuffix(part, "s")) {
					t.Errorf("%q: %q is nowhere in the program any more", p.English, part)
				}
			}
		}
	}
}

// TestTexts holds the table to its form: every hole is used once, and nothing but a hole is no sentence.
func TestTexts(t *testing.T) {
	var last string
	for _, p := range chinese.Texts() {
		if p.English <= last {
			t.Errorf("%q is not sorted, or there twice", p.English)
		}
		last = p.English
		if p.Chinese == "" || !strings.ContainsFunc(p.Chinese, func(r rune) bool { return unicode.Is(unicode.Han, r) }) && p.English != "sha256" && len(verbs.FindAllString(p.English, -1)) == 0 {
			t.Errorf("%q: %q is not Chinese", p.English, p.Chinese)
		}
		want := len(verbs.FindAllString(strings.ReplaceAll(p.English, "%%", ""), -1))
		var used []string
		for _, m := range holes.FindAllStringSubmatch(p.Chinese, -1) {
			used = append(used, m[1])
		}
		slices.Sort(used)
		for i := range max(want, len(used)) {
			if i >= len(used) || i >= want || used[i] != strconv.Itoa(i+1) {
				t.Errorf("%q has %d holes, %q uses %v", p.English, want, p.Chinese, used)
				break
			}
		}
		if strings.Contains(p.English, "%s%s") || strings.Contains(p.English, "%s%d") {
			t.Errorf("%q: nothing stands between two holes", p.English)
		}
	}
}

// TestWhatPeopleSeeFirstIsTranslated lists what has no Chinese of playbooks, drills, modules, and of what actions say.
func TestWhatPeopleSeeFirstIsTranslated(t *testing.T) {
	have := map[string]bool{}
	for _, p := range chinese.Texts() {
		have[p.English] = true
	}
	for _, text := range playbookTexts(t) {
		if !have[text] {
			t.Errorf("a playbook says %q", text)
		}
	}
	for _, folder := range []string{"drills", "sensors", "detectors", "audits", "responders"} {
		said(t, folder, map[string]bool{"Title": true, "Summary": folder == "responders", "Result": folder == "responders", "Blast": folder == "responders", "Refused": folder == "responders"}, func(where, text string) {
			if strings.Contains(where, "/testdata/") || !strings.Contains(text, " ") || !strings.ContainsFunc(verbs.ReplaceAllString(text, ""), unicode.IsLetter) {
				return
			}
			if _, ok := chinese.Text(verbs.ReplaceAllStringFunc(text, example)); !ok && !have[text] {
				t.Errorf("%s says %q", where, text)
			}
		})
	}
}

// shown are the types whose fields people read.
var shown = map[string]bool{"Info": true, "Drill": true, "Action": true, "Receipt": true, "Outcome": true}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func example(verb string) string {
	switch verb[len(verb)-1] {
	case 'd':
		return "7"
	case 'q':
		return `"x"`
	}
	return "x"
}

// said tells every literal that is given to a field of a name in fields, also as the format of what is put together.
func said(t *testing.T, folder string, fields map[string]bool, tell func(where, text string)) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(repository, folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var say func(e ast.Expr)
		say = func(e ast.Expr) {
			if text, whole := template(e); whole {
				tell(path, text)
				return
			}
			switch e := e.(type) {
			case *ast.CompositeLit:
				for _, x := range e.Elts {
					say(x)
				}
			case *ast.CallExpr:
				if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
					say(e.Args[0])
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				for _, x := range n.Elts {
					kv, ok := x.(*ast.KeyValueExpr)
					if !ok || !shown[typeName(n.Type)] {
						continue
					}
					if key, ok := kv.Key.(*ast.Ident); ok && fields[key.Name] {
						say(kv.Value)
					}
				}
			case *ast.AssignStmt:
				for i, l := range n.Lhs {
					if f, ok := l.(*ast.SelectorExpr); ok && folder == "responders" && fields[f.Sel.Name] && i < len(n.Rhs) {
						say(n.Rhs[i])
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestText(t *testing.T) {
	for en, want := range map[string]string{
		"freeze 3 processes of incident 3f2a":    "冻结事件 3f2a 的 3 个进程",
		`"/tmp/x y" is in quarantine, sha256 ab`: `"/tmp/x y" 已移入隔离区，sha256 ab`,
		"Failed: kill 1 process of incident i1":  "失败：终止事件 i1 的 1 个进程",
		"all its processes end; its files stay":  "其全部进程结束；文件保留",
		"block 2 destinations for 1h0m0s":        "阻断 2 个目的地，期限 1h0m0s",
		`x"; drop started`:                       `x"; drop 启动`,
		"they are here: nobody wrote this":       "they are here: nobody wrote this",
		`"/x": it is init`:                       `"/x"：它是 init`,
		"a sentence that nobody wrote":           "a sentence that nobody wrote",
		"":                                       "",
	} {
		if got, ok := chinese.Text(en); got != want || ok != (en != want) {
			t.Errorf("%q: %q, %t; want %q", en, got, ok, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("freeze 3 processes of incident i1; partial: x")
	f.Fuzz(func(_ *testing.T, s string) { chinese.Text(s) })
}
