package chinese_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const repository = "../.."

// literals returns every string of the program's code, by the file it is in: what is put together with + has %s where no literal stands.
func literals(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(repository, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				if err == nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata") {
					return fs.SkipDir
				}
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text, whole := template(e); whole && text != "" {
						if _, there := all[text]; !there {
							all[text] = path
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
	return all
}

// template returns a string expression as a format. whole is false where no part of it is a literal.
func template(e ast.Expr) (text string, whole bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			return s, err == nil
		}
	case *ast.ParenExpr:
		return template(e.X)
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			a, left := template(e.X)
			b, right := template(e.Y)
			if !left {
				a = "%s"
			}
			if !right {
				b = "%s"
			}
			return a + b, left || right
		}
	}
	return "", false
}
