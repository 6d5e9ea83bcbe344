// Package config reads the one configuration file. It is strict: an unknown key is an error with its line.
package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSize bounds the file: the largest sensible one, with long protect lists, is a few KiB.
const maxSize = 1 << 20

// Respond says what is done without asking.
type Respond string

// The policies, from harmless to final.
const (
	Observe Respond = "observe" // report only
	Contain Respond = "contain" // freeze, at high confidence
	Kill    Respond = "kill"    // freeze, then kill
)

// ParseRespond reads a policy's name.
func ParseRespond(name string) (Respond, error) {
	switch r := Respond(name); r {
	case Observe, Contain, Kill:
		return r, nil
	}
	return "", fmt.Errorf("unknown policy %q: use observe, contain or kill", name)
}

// A Config is the whole file. The zero value of a key means its default.
type Config struct {
	Data    string   `yaml:"data"`    // directory of everything that is kept
	Listen  string   `yaml:"listen"`  // address of the console, or "off"
	Respond Respond  `yaml:"respond"` // what is done without asking
	Record  string   `yaml:"record"`  // file to which every event is written, for support; empty: none
	Disable []string `yaml:"disable"` // modules by name, as "sensors/ebpf"
	GeoIP   string   `yaml:"geoip"`   // database of countries in the MaxMind DB format; empty: none

	// Version of the program, for what it tells others.
	Version string `yaml:"-"`
	// SigmaRules are folders of rules given on the command line, beside those of the detector's section.
	SigmaRules []string `yaml:"-"`

	given    map[string]bool                // top-level keys of the file that are no section
	sections map[string]map[string]ast.Node // catalogue → module → its section
	parts    map[string]ast.Node            // of Parts → its section
}

// Parts are the top-level keys whose sections belong to a package of the same name, which checks them.
var Parts = [...]string{"console", "playbooks", "reports", "alerts"}

// Off is the value of Listen where no console is served.
const Off = "off"

// catalogues are the top-level keys whose children are sections of modules.
var catalogues = []string{"sensors", "detectors", "audits", "responders"}

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{Data: "/var/lib/minewarden", Listen: "127.0.0.1:7443", Respond: Observe}
}

// Load reads the file at path. An empty path gives Default.
func Load(path string) (*Config, error) {
	if path == "" {
		return Default(), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Parse reads a configuration. Sections of modules are kept for Section: their owners check them.
func Parse(text []byte) (c *Config, err error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("larger than %d KiB", maxSize>>10)
	}
	defer func() { // the YAML library is fed whatever a user wrote
		if r := recover(); r != nil {
			c, err = nil, fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	c = Default()
	c.given = map[string]bool{}
	c.sections, c.parts = map[string]map[string]ast.Node{}, map[string]ast.Node{}
	if len(file.Docs) > 1 {
		return nil, errors.New("more than one document")
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType {
			continue
		}
		if err := c.top(doc.Body); err != nil {
			return nil, err
		}
	}
	return c, c.Validate()
}

func (c *Config) top(body ast.Node) error {
	pairs, err := mapping(body)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, pair := range pairs {
		key := pair.Key.String()
		if seen[key] {
			return fmt.Errorf("line %d: key %q occurs twice", line(pair.Key), key)
		}
		seen[key] = true
		if isCatalogue(key) {
			if err := c.catalogue(key, pair.Value); err != nil {
				return err
			}
			continue
		}
		if slices.Contains(Parts[:], key) {
			c.parts[key] = pair.Value
			continue
		}
		target, ok := map[string]any{"data": &c.Data, "listen": &c.Listen, "respond": &c.Respond, "record": &c.Record, "disable": &c.Disable, "geoip": &c.GeoIP}[key]
		if !ok {
			return fmt.Errorf("line %d: unknown key %q", line(pair.Key), key)
		}
		if pair.Value.Type() == ast.NullType {
			continue
		}
		if err := yaml.NodeToValue(pair.Value, target, yaml.Strict()); err != nil {
			return fmt.Errorf("line %d: %s: %s", line(pair.Key), key, strings.TrimSpace(yaml.FormatError(err, false, false)))
		}
		c.given[key] = true
	}
	return nil
}

// Has reports whether the file says a key, given from the outside in: "listen"; "sensors", "journal", "dirs".
func (c *Config) Has(key ...string) bool {
	if len(key) == 1 && c.given[key[0]] {
		return true
	}
	node, rest := c.parts[key[0]], key[1:]
	if isCatalogue(key[0]) && len(key) > 1 {
		node, rest = c.sections[key[0]][key[1]], key[2:]
	}
	for node != nil {
		if len(rest) == 0 {
			return true
		}
		pairs, err := mapping(node)
		if err != nil {
			return false
		}
		i := slices.IndexFunc(pairs, func(p *ast.MappingValueNode) bool { return p.Key.String() == rest[0] })
		if i < 0 {
			return false
		}
		node, rest = pairs[i].Value, rest[1:]
	}
	return false
}

func (c *Config) catalogue(name string, value ast.Node) error {
	c.sections[name] = map[string]ast.Node{}
	if value.Type() == ast.NullType {
		return nil
	}
	pairs, err := mapping(value)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		module := pair.Key.String()
		if c.sections[name][module] != nil {
			return fmt.Errorf("line %d: key %q occurs twice", line(pair.Key), module)
		}
		c.sections[name][module] = pair.Value
	}
	return nil
}

// Sections returns the names of modules that have a section, as "sensors/ebpf", sorted.
func (c *Config) Sections() []string {
	var names []string
	for catalogue, modules := range c.sections {
		for module := range modules {
			names = append(names, catalogue+"/"+module)
		}
	}
	slices.Sort(names)
	return names
}

// Check says whether every section and every disabled module is one of known, which holds names as "sensors/ebpf".
func (c *Config) Check(known map[string]bool) error {
	for catalogue, modules := range c.sections {
		for module, node := range modules {
			if !known[catalogue+"/"+module] {
				return fmt.Errorf("line %d: there is no module %s/%s", line(node), catalogue, module)
			}
		}
	}
	for _, name := range c.Disable {
		if !known[name] {
			return fmt.Errorf("disable: there is no module %s", name)
		}
	}
	return nil
}

// Disabled reports whether the module is switched off, by name as "sensors/ebpf".
func (c *Config) Disabled(name string) bool {
	for _, d := range c.Disable {
		if d == name {
			return true
		}
	}
	return false
}

// Section returns the decoder of a module's own section, over the defaults that the value already holds.
func (c *Config) Section(catalogue, module string) func(any) error {
	return section(c.sections[catalogue][module], catalogue+"/"+module)
}

// Part reads the section of one of Parts, over the defaults that the value already holds.
func (c *Config) Part(name string, into any) error { return section(c.parts[name], name)(into) }

func section(node ast.Node, name string) func(any) error {
	return func(into any) error {
		if node == nil || node.Type() == ast.NullType {
			return nil
		}
		if err := yaml.NodeToValue(node, into, yaml.Strict()); err != nil {
			return fmt.Errorf("line %d: %s: %s", line(node), name, strings.TrimSpace(yaml.FormatError(err, false, false)))
		}
		return nil
	}
}

// Validate checks what can be checked without looking at the machine.
func (c *Config) Validate() error {
	if _, err := ParseRespond(string(c.Respond)); err != nil {
		return fmt.Errorf("respond: %w", err)
	}
	if c.Data == "" {
		return errors.New("data: no directory given")
	}
	if _, err := netip.ParseAddrPort(c.Listen); err != nil && c.Listen != Off {
		return fmt.Errorf("listen: %q is not ADDRESS:PORT, or off", c.Listen)
	}
	return nil
}

func isCatalogue(key string) bool {
	for _, c := range catalogues {
		if c == key {
			return true
		}
	}
	return false
}

func mapping(n ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, fmt.Errorf("line %d: want keys and values", line(n))
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}
