package reports

// A Document is text with headings, tables and lists, in one language, that renderers write.
type Document struct {
	Lang     string
	Title    string
	Subtitle string
	Sections []Section
	Foot     string
}

// A Section is a heading and what is below it, in order.
type Section struct {
	Title  string
	Blocks []Block
}

// A Block is one of its fields.
type Block struct {
	Text  string
	Facts []Fact
	Table *Table
	List  []string
}

// A Fact is a name and what is known, with where the figure comes from.
type Fact struct {
	Name, Value, Source string
}

// A Table has rows as long as Head.
type Table struct {
	Head []string
	Rows [][]string
}

func (d *Document) section(title string, blocks ...Block) {
	kept := blocks[:0]
	for _, b := range blocks {
		if b.Text != "" || len(b.Facts) > 0 || len(b.List) > 0 || (b.Table != nil && len(b.Table.Rows) > 0) {
			kept = append(kept, b)
		}
	}
	if len(kept) > 0 {
		d.Sections = append(d.Sections, Section{title, kept})
	}
}
