package reports

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/johnfercher/maroto/v2"
	"github.com/johnfercher/maroto/v2/pkg/components/col"
	"github.com/johnfercher/maroto/v2/pkg/components/line"
	"github.com/johnfercher/maroto/v2/pkg/components/row"
	"github.com/johnfercher/maroto/v2/pkg/components/text"
	"github.com/johnfercher/maroto/v2/pkg/config"
	"github.com/johnfercher/maroto/v2/pkg/consts/fontstyle"
	"github.com/johnfercher/maroto/v2/pkg/core"
	"github.com/johnfercher/maroto/v2/pkg/props"
	"github.com/johnfercher/maroto/v2/pkg/repository"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"github.com/minewarden/minewarden/internal/terminal"
)

// typeface is made by font/make.py.
//
//go:embed font/report.ttf
var typeface []byte

const family = "report"

// Sizes of a page of A4.
const (
	margin    = 15.0 // mm
	textWidth = 210 - 2*margin
	grid      = 12
	gap       = 2.0 // mm between columns
	plainSize = 9.0 // points
	headSize  = 12.0
	titleSize = 17.0
	leading   = 1.35
	mmPoint   = 25.4 / 72
	maxLines  = 40   // of one row: a longer one is continued in the next, or it would fit no page
	maxCell   = 2000 // bytes of one cell; the JSON has all
	missing   = '□'  // stands for a character that the typeface lacks
)

// PDF writes pages of A4.
func (d *Document) PDF(w io.Writer) error {
	t, err := newTypesetter()
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	safe := d.each(func(s string) string { return t.printable(clip(terminal.Safe(s))) })
	fonts, err := repository.New().AddUTF8FontFromBytes(family, fontstyle.Normal, typeface).
		AddUTF8FontFromBytes(family, fontstyle.Bold, typeface).AddUTF8FontFromBytes(family, fontstyle.Italic, typeface).
		AddUTF8FontFromBytes(family, fontstyle.BoldItalic, typeface).Load()
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	cfg := config.NewBuilder().WithCustomFonts(fonts).WithDefaultFont(&props.Font{Family: family, Size: plainSize}).
		WithLeftMargin(margin).WithRightMargin(margin).WithTopMargin(margin).WithBottomMargin(margin).WithSequentialMode().
		WithTitle(safe.Title, true).WithCreator("minewarden", true).WithCreationDate(time.Unix(0, 0).UTC()).
		WithPageNumber(props.PageNumber{Pattern: "{current} / {total}", Place: props.RightBottom, Family: family, Size: 8}).Build()
	m := maroto.New(cfg)
	t.document(m, safe)
	doc, err := m.Generate()
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	_, err = w.Write(doc.GetBytes())
	return err
}

func clip(s string) string {
	if len(s) <= maxCell {
		return s
	}
	return strings.ToValidUTF8(s[:maxCell], "") + " …"
}

// typesetter breaks text into lines: the library breaks at spaces alone, and Chinese and hashes have none.
type typesetter struct {
	face *sfnt.Font
	buf  sfnt.Buffer
}

func newTypesetter() (*typesetter, error) {
	f, err := sfnt.Parse(typeface)
	if err != nil {
		return nil, err
	}
	return &typesetter{face: f}, nil
}

// width is that of a character at one point, in points.
func (t *typesetter) width(r rune) (float64, bool) {
	i, err := t.face.GlyphIndex(&t.buf, r)
	if err != nil || i == 0 {
		return 0, false
	}
	a, err := t.face.GlyphAdvance(&t.buf, i, fixed.I(1000), font.HintingNone)
	if err != nil {
		return 0, false
	}
	return float64(a) / 64 / 1000, true
}

func (t *typesetter) printable(s string) string {
	return strings.Map(func(r rune) rune {
		if _, ok := t.width(r); !ok {
			return missing
		}
		return r
	}, s)
}

// lines breaks s where it fits: after a space or a sign, beside a Chinese character, and anywhere where nothing else helps.
func (t *typesetter) lines(s string, size, width float64) []string {
	limit := width / mmPoint / size
	var out []string
	runes := []rune(s)
	for len(runes) > 0 {
		used, n, good := 0.0, 0, 0
		for n < len(runes) {
			w, _ := t.width(runes[n])
			if used += w; used > limit && n > 0 {
				break
			}
			n++
			if n < len(runes) && breaks(runes[n-1], runes[n]) {
				good = n
			}
		}
		if n < len(runes) && good > 0 {
			n = good
		}
		out = append(out, strings.TrimRight(string(runes[:n]), " "))
		for runes = runes[n:]; len(runes) > 0 && runes[0] == ' '; {
			runes = runes[1:]
		}
	}
	return out
}

// breaks reports whether a line may end between two characters.
func breaks(a, b rune) bool {
	const han = 0x2e80
	closing := strings.ContainsRune("，。、；：！？）】》”", b)
	return (a == ' ' || strings.ContainsRune("/,;:-=|", a) || a >= han || b >= han) && !closing
}

func (t *typesetter) document(m core.Maroto, d *Document) {
	t.write(m, titleSize, []int{grid}, []string{d.Title})
	t.write(m, plainSize, []int{grid}, []string{d.Subtitle})
	for _, s := range d.Sections {
		m.AddRows(row.New(3))
		t.write(m, headSize, []int{grid}, []string{s.Title})
		m.AddRows(row.New(2).Add(line.NewCol(grid, props.Line{Thickness: 0.2, SizePercent: 100})))
		for _, b := range s.Blocks {
			t.block(m, &b)
		}
	}
	m.AddRows(row.New(5))
	t.write(m, 8, []int{grid}, []string{d.Foot})
}

func (t *typesetter) block(m core.Maroto, b *Block) {
	t.write(m, plainSize, []int{grid}, []string{b.Text})
	for _, f := range b.Facts {
		if f.Source == "" {
			t.write(m, plainSize, []int{3, 9}, []string{f.Name, f.Value})
			continue
		}
		t.write(m, plainSize, []int{3, 5, 4}, []string{f.Name, f.Value, f.Source})
	}
	for _, l := range b.List {
		t.write(m, plainSize, []int{grid}, []string{"• " + l})
	}
	if b.Table == nil {
		return
	}
	widths := columns(b.Table)
	t.write(m, plainSize, widths, b.Table.Head)
	m.AddRows(row.New(1).Add(line.NewCol(grid, props.Line{Thickness: 0.1, SizePercent: 100})))
	for _, r := range b.Table.Rows {
		t.write(m, plainSize, widths, r)
	}
}

// columns shares the grid out by the longest texts, each between 1 and what the others leave.
func columns(t *Table) []int {
	n := len(t.Head)
	want := make([]float64, n)
	for i := range n {
		want[i] = float64(len(t.Head[i]))
		for _, r := range t.Rows {
			if i < len(r) {
				want[i] = max(want[i], float64(min(len(r[i]), 80)))
			}
		}
	}
	widths := make([]int, n)
	left := grid
	for i := range widths {
		widths[i] = 1
		left--
	}
	for ; left > 0; left-- { // the next twelfth to the column that is short of room most
		best := 0
		for i := range widths {
			if want[i]/float64(widths[i]) > want[best]/float64(widths[best]) {
				best = i
			}
		}
		widths[best]++
	}
	return widths
}

// write adds one row of texts, each broken to its width; a very high one is continued in further rows.
func (t *typesetter) write(m core.Maroto, size float64, widths []int, texts []string) {
	var cells [][]string
	high := 0
	for i, w := range widths {
		s := ""
		if i < len(texts) {
			s = texts[i]
		}
		cells = append(cells, t.lines(s, size, textWidth*float64(w)/grid-gap))
		high = max(high, len(cells[i]))
	}
	lineHeight := size * mmPoint * leading
	for from := 0; from < high; from += maxLines {
		n := min(maxLines, high-from)
		r := row.New(float64(n)*lineHeight + 1)
		for i, w := range widths {
			c := col.New(w)
			for k := from; k < min(from+n, len(cells[i])); k++ {
				c.Add(text.New(cells[i][k], props.Text{Family: family, Size: size, Top: float64(k-from) * lineHeight}))
			}
			r.Add(c)
		}
		m.AddRows(r)
	}
}
