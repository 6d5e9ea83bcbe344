package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/alerts"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/detectors"
	"github.com/minewarden/minewarden/reports"
	"github.com/minewarden/minewarden/responders"
	"github.com/minewarden/minewarden/sensors"
)

// settings shows the effective configuration to the console.
type settings struct{ cfg *config.Config }

// Settings implements console.Settings: the program's own keys, then those of each part and module, with their defaults.
func (s settings) Settings() []console.Setting {
	c, d := s.cfg, config.Default()
	var out []console.Setting
	for _, x := range [][3]string{
		{"data", c.Data, d.Data},
		{"listen", c.Listen, d.Listen},
		{"respond", string(c.Respond), string(d.Respond)},
		{"record", c.Record, d.Record},
		{"disable", strings.Join(c.Disable, ", "), ""},
		{"geoip", c.GeoIP, d.GeoIP},
	} {
		one := console.Setting{Key: x[0], Value: x[1], DefaultValue: x[2], Default: x[1] == x[2], From: "default"}
		switch {
		case c.Has(x[0]):
			one.From = "file"
		case !one.Default:
			one.From = "command"
		}
		out = append(out, one)
	}
	part := func(name string, before, after any) {
		if err := c.Part(name, after); err == nil {
			out = append(out, s.section(name, before, after)...)
		}
	}
	part("console", &console.Config{}, &console.Config{})
	books := PlaybookConfig{}
	if empty, err := playbookConfig(&config.Config{Data: c.Data}); err == nil {
		books = empty
	}
	after := books
	part("playbooks", &books, &after)
	was, is := reports.DefaultConfig(), reports.DefaultConfig()
	part("reports", &was, &is)
	quiet, loud := alerts.DefaultConfig(), alerts.DefaultConfig()
	part("alerts", &quiet, &loud)
	return append(out, s.modules()...)
}

var errSeen = errors.New("the configuration was seen")

// modules begins to make every module, which asks for its section with the defaults in it, and lets none of them finish.
func (s settings) modules() (out []console.Setting) {
	look := func(catalogue, name string, make func(minewarden.Env) error) {
		e := env(s.cfg, slog.New(slog.DiscardHandler), catalogue, name)
		section := e.Decode
		e.Decode = func(into any) error {
			before := flat(into)
			if err := section(into); err != nil {
				return err
			}
			out = append(out, s.compare(catalogue+"/"+name, before, flat(into))...)
			return errSeen
		}
		// A module without a section is made, and forgotten; one that has one ends with errSeen; another error was told at the start.
		_ = make(e)
	}
	for _, m := range append(sensors.All(), sensors.Scans()...) {
		look("sensors", m.Name, func(e minewarden.Env) error { _, err := m.New(e); return err })
	}
	for _, m := range detectors.All() {
		look("detectors", m.Name, func(e minewarden.Env) error { _, err := m.New(e); return err })
	}
	for _, m := range responders.All() {
		look("responders", m.Name, func(e minewarden.Env) error { _, err := m.New(e); return err })
	}
	return out
}

func (s settings) section(name string, before, after any) []console.Setting {
	return s.compare(name, flat(before), flat(after))
}

// compare lists what a section holds now beside what it would without the file.
func (s settings) compare(section string, before, after []setting) []console.Setting {
	at := strings.Split(section, "/")
	var out []console.Setting
	for _, x := range after {
		one := console.Setting{Key: strings.Join(append(slices.Clone(at), x.path...), "."), Section: section, Value: x.value, Secret: x.secret, From: "default"}
		if i := slices.IndexFunc(before, func(b setting) bool { return slices.Equal(b.path, x.path) }); i >= 0 {
			one.DefaultValue = before[i].value
		}
		one.Default = one.Value == one.DefaultValue
		if s.cfg.Has(append(slices.Clone(at), x.path...)...) {
			one.From = "file"
		}
		if x.secret {
			one.Value, one.DefaultValue = hidden(x.value), hidden(one.DefaultValue)
		}
		out = append(out, one)
	}
	return out
}

func hidden(value string) string {
	if value == "" {
		return ""
	}
	return "set"
}

// A setting is a value of a section that is no map.
type setting struct {
	path   []string
	value  string
	secret bool
}

// flat lists the values of a section as its file would have them. What cannot be written as YAML is left out.
func flat(section any) (out []setting) {
	text, err := yaml.Marshal(section)
	if err != nil {
		return nil
	}
	var tree yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(text, &tree, yaml.UseOrderedMap()); err != nil {
		return nil
	}
	var walk func(path []string, v any, secret bool)
	walk = func(path []string, v any, secret bool) {
		m, ok := v.(yaml.MapSlice)
		if !ok || len(m) == 0 {
			out = append(out, setting{path, plain(v), secret})
			return
		}
		for _, x := range m {
			key := fmt.Sprint(x.Key)
			walk(append(slices.Clone(path), key), x.Value, secret || secretKey(key))
		}
	}
	for _, x := range tree {
		key := fmt.Sprint(x.Key)
		walk([]string{key}, x.Value, secretKey(key))
	}
	return out
}

var secretWord = regexp.MustCompile(`(?i)pass|secret|token|community|credential|headers|webhook|authorization`)

// secretKey reports whether what stands under a key is nobody's to read. The name of a file is no secret.
func secretKey(key string) bool {
	return secretWord.MatchString(key) && !strings.HasSuffix(key, "_file")
}

const maxShown = 2000 // bytes of a value

// plain writes a value on one line. In lists secrets are hidden here, for no path leads to them.
func plain(v any) string {
	var text string
	switch v := v.(type) {
	case nil:
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = plain(x)
		}
		text = strings.Join(parts, ", ")
	case yaml.MapSlice:
		parts := make([]string, 0, len(v))
		for _, x := range v {
			key, value := fmt.Sprint(x.Key), plain(x.Value)
			if secretKey(key) || key == "url" { // those of chats let in whoever knows them
				value = hidden(value)
			}
			if value != "" {
				parts = append(parts, key+": "+value)
			}
		}
		if text = strings.Join(parts, ", "); text != "" {
			text = "{" + text + "}"
		}
	case string:
		text = v
		if u, err := url.Parse(v); err == nil && u.User != nil {
			u.User = url.User("***")
			text = u.String()
		}
	default:
		text = fmt.Sprint(v)
	}
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return text
}
