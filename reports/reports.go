// Package reports writes what happened for people who were not there: the report of an incident to an authority, the review of
// it after 72 hours, and the figures of a month. Each is a model, which is its JSON, and a document in English or Chinese made
// of the model, written as HTML, Markdown or PDF.
package reports

import (
	_ "embed"
	"fmt"
	"io"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// Formats of a report.
const (
	HTML     = "html"
	Markdown = "md"
	JSON     = "json"
	PDF      = "pdf"
)

// ContentType is what a web server says of a format.
func ContentType(format string) string {
	return map[string]string{HTML: "text/html; charset=utf-8", Markdown: "text/markdown; charset=utf-8", JSON: "application/json", PDF: "application/pdf"}[format]
}

// Config is the section "reports" of the configuration.
type Config struct {
	Organization string `yaml:"organization"`
	Contact      string `yaml:"contact"` // name of the person to ask
	Email        string `yaml:"email"`
	Phone        string `yaml:"phone"`
	Prices       Prices `yaml:"prices"`
}

// Prices turn what was used into money. They are assumptions until the operator sets his own, and reports say so.
type Prices struct {
	Currency string  `yaml:"currency" json:"currency"`
	KWh      float64 `yaml:"kwh" json:"kwh"`           // of a kilowatt-hour at the meter
	CPUHour  float64 `yaml:"cpu_hour" json:"cpu_hour"` // of an hour of one logical processor, as a cloud sells it
	// WattsPerCPU is what one busy logical processor draws above idle, with cooling and losses, where the machine has no energy
	// counters.
	WattsPerCPU float64 `yaml:"watts_per_cpu" json:"watts_per_cpu"`
}

// DefaultConfig is what an empty section means: 0.15 a kWh, 0.04 an hour of a processor, and 6 W for a busy one, which is
// what servers of 64 to 128 logical processors draw between idle and full load, divided by their number.
func DefaultConfig() Config {
	return Config{Prices: Prices{Currency: "USD", KWh: 0.15, CPUHour: 0.04, WattsPerCPU: 6}}
}

// Validate does no I/O.
func (c *Config) Validate() error {
	p := c.Prices
	if p.KWh < 0 || p.CPUHour < 0 || p.WattsPerCPU < 0 || p.WattsPerCPU > 1000 {
		return fmt.Errorf("prices: %g a kWh, %g a CPU hour, %g W per CPU: use numbers from 0 up, and at most 1000 W", p.KWh, p.CPUHour, p.WattsPerCPU)
	}
	if len(c.Organization)+len(c.Contact)+len(c.Email)+len(c.Phone)+len(p.Currency) > 4096 {
		return fmt.Errorf("organization, contact, email, phone and currency are longer than 4096 bytes together")
	}
	return nil
}

// Env is what a report is made with beside the incidents.
type Env struct {
	Config  Config
	Version string    // of minewarden
	Host    string    // name of this machine
	Now     time.Time // of the report
	Boot    string    // id of this start of the machine
	Booted  time.Time // when it started, so that a process's start is known; zero: not known
	// Weaknesses are what the newest audits found, for what let an attacker in.
	Weaknesses []Weakness
}

// A Weakness is a failed check of an audit.
type Weakness struct {
	Rule     string              `json:"rule"`
	Title    string              `json:"title"`
	Severity minewarden.Severity `json:"severity"`
	Target   string              `json:"target"`
	Where    string              `json:"where,omitempty"`
	Advice   string              `json:"advice,omitempty"`
	Seen     time.Time           `json:"seen,omitzero"` // by the audit
}

// A Report is a model that can be written.
type Report interface {
	// Document is what people read, in a language of Languages.
	Document(lang string) *Document
}

// Write writes r in a format and a language.
func Write(w io.Writer, r Report, format, lang string) error {
	if !known(lang) {
		return fmt.Errorf("no report in language %q: use en or zh", lang)
	}
	switch format {
	case JSON:
		e := terminal.JSON(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case HTML:
		return r.Document(lang).HTML(w)
	case Markdown:
		return r.Document(lang).Markdown(w)
	case PDF:
		return r.Document(lang).PDF(w)
	}
	return fmt.Errorf("no report in format %q: use html, md, json or pdf", format)
}
