package indicators

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/minewarden/minewarden"
)

//go:embed pools.csv
var pools []byte

// EmbeddedSource is the source of the indicators that come with the program.
const EmbeddedSource = "minewarden@2026-11-21"

// Files of a directory of lists.
const (
	listSuffix  = ".list"  // in the form that Read reads
	allowSuffix = ".allow" // values that are never met, one a line
)

// Load returns the embedded list together with those of a directory, which need not exist.
func Load(dir string) (*Set, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read indicators: %w", err)
	}
	lines := bytes.Count(pools, []byte{'\n'})
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), listSuffix) && !strings.HasSuffix(e.Name(), allowSuffix) {
			continue
		}
		names = append(names, e.Name())
		n, err := countLines(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read indicators: %w", err)
		}
		lines += n
	}
	sort.Strings(names)
	b := NewBuilder(lines)
	ignore := func(*LineError) {} // told when the list was added
	if err := Read(bytes.NewReader(pools), Defaults{Source: EmbeddedSource, Confidence: 0.8}, b.Add, ignore); err != nil {
		return nil, fmt.Errorf("embedded indicators: %w", err)
	}
	for _, name := range names {
		if err := loadFile(b, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return b.Set(), nil
}

func loadFile(b *Builder, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read indicators: %w", err)
	}
	defer f.Close()
	add := b.Add
	source := strings.TrimSuffix(filepath.Base(path), listSuffix)
	if strings.HasSuffix(path, allowSuffix) {
		add = func(i minewarden.Indicator) bool { return b.Allow(i.Type, i.Value) }
	}
	if err := Read(f, Defaults{Source: source, Confidence: 0.8}, add, func(*LineError) {}); err != nil {
		return fmt.Errorf("read indicators %s: %w", path, err)
	}
	return nil
}

// countLines is how many indicators to expect: to be right at first costs less than to grow.
func countLines(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf, lines := make([]byte, 64<<10), 0
	for {
		n, err := f.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return min(lines, maxEntries), nil
		}
		if err != nil {
			return 0, err
		}
	}
}
