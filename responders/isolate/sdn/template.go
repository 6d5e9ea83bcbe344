package sdn

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// Requests are what is said to a controller.
type Requests struct {
	Install Request `yaml:"install"`
	// Verify reads back. It is asked before a rule is installed, after it, and after it was released.
	Verify  Request `yaml:"verify"`
	Release Request `yaml:"release"`
	// Once asks once, not for each address: for what is selected by vars.
	Once bool `yaml:"once"`
}

// A Request is templates: of the path after Config.URL, with its query, and of the body, which must be JSON.
type Request struct {
	Method string `yaml:"method"`
	Path   string `yaml:"path"`
	Body   string `yaml:"body"`
	// Want is, for Verify, what an object somewhere in the answer must hold: of objects at least these members, of those called
	// match or selector and of arrays exactly these. Null stands for what is not there, or empty.
	Want string `yaml:"want"`
	// ID is, for Verify, the member of that object by which the rule is released; empty: the name that we gave it.
	ID string `yaml:"id"`
}

const (
	maxTemplate = 16 << 10
	maxRendered = 64 << 10
)

// value is a string in a template. Whatever it holds, it ends neither the JSON string nor the path segment that it stands in.
type value struct {
	text   string
	escape func(string) string
}

func (v value) String() string { return v.escape(v.text) }

func jsonText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return "" // a string always becomes JSON
	}
	return string(b[1 : len(b)-1])
}

// facts are what a template may say.
type facts struct {
	Address   value // 10.0.0.5
	Prefix    value // 10.0.0.5/32
	V6        bool
	EtherType int    // 2048, 34525
	EtherHex  string // 0x800, 0x86dd
	Name      value  // ours, of this action and address: lower case letters, digits and -
	Cookie    string // the same as a number
	Rule      value  // by which the controller knows the rule; when it is released
	Seconds   int    // until it is to end
	Vars      map[string]value
}

// A target is one rule at one controller.
type target struct {
	addr netip.Addr
	name string
	rule string
	ends time.Duration
}

func ruleName(action string, a netip.Addr) string {
	sum := sha256.Sum256([]byte(action + "\x00" + a.String()))
	return "minewarden-" + hex.EncodeToString(sum[:8])
}

func (t *target) facts(vars map[string]string, escape func(string) string) facts {
	v := func(s string) value { return value{s, escape} }
	sum := sha256.Sum256([]byte(t.name))
	f := facts{
		Address: v(t.addr.String()), V6: t.addr.Is6(), EtherType: 0x800, EtherHex: "0x800", Name: v(t.name), Rule: v(t.rule),
		Cookie: strconv.FormatUint(binary.BigEndian.Uint64(sum[:8])>>16, 10), Seconds: int(max(1, t.ends/time.Second)), Vars: map[string]value{},
	}
	if t.addr.IsValid() {
		f.Prefix = v(netip.PrefixFrom(t.addr, t.addr.BitLen()).String())
	} else {
		f.Address, f.Prefix = v(""), v("")
	}
	if f.V6 {
		f.EtherType, f.EtherHex = 0x86dd, "0x86dd"
	}
	for k, text := range vars {
		f.Vars[k] = v(text)
	}
	return f
}

// functions are all that templates may call, besides and, or and not.
func functions() template.FuncMap {
	return template.FuncMap{
		// num is for numbers that stand without quotes.
		"num": func(v value) (string, error) {
			if _, err := strconv.ParseUint(v.text, 10, 64); err != nil {
				return "", fmt.Errorf("%q is not a number", v.text)
			}
			return v.text, nil
		},
		"capped": func(most, n int) int { return min(most, n) },
	}
}

var errTemplate = errors.New("templates hold text, values, num, capped and if alone")

func compileText(name, text string) (*template.Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxTemplate)
	}
	t, err := template.New(name).Option("missingkey=error").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 {
		return nil, fmt.Errorf("%s: %w", name, errTemplate)
	}
	if t.Tree != nil && t.Tree.Root != nil {
		if err := harmless(t.Tree.Root); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return t, nil
}

// harmless refuses all that is not needed: loops, other templates, functions that print without escaping.
func harmless(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := harmless(c); err != nil {
				return err
			}
		}
		return nil
	case *parse.TextNode, *parse.FieldNode, *parse.NumberNode, *parse.StringNode, *parse.BoolNode, *parse.CommentNode:
		return nil
	case *parse.ActionNode:
		return harmless(n.Pipe)
	case *parse.IfNode:
		return errors.Join(harmless(n.Pipe), harmless(n.List), harmless(n.ElseList))
	case *parse.PipeNode:
		if len(n.Decl) > 0 {
			return errTemplate
		}
		for _, c := range n.Cmds {
			for _, a := range c.Args {
				if err := harmless(a); err != nil {
					return err
				}
			}
		}
		return nil
	case *parse.IdentifierNode:
		if slices.Contains([]string{"num", "capped", "and", "or", "not"}, n.Ident) {
			return nil
		}
	}
	return errTemplate
}

// compiled is a Request that can be rendered.
type compiled struct {
	method, id       string
	path, body, want *template.Template
}

// plan is what Requests compile to.
type plan struct {
	install, verify, release compiled
	once                     bool
}

// compile merges the configured requests over the preset's.
func (c *Config) compile() (*plan, error) {
	all := Requests{}
	if c.Preset != "" {
		preset, ok := presets()[c.Preset]
		if !ok {
			return nil, fmt.Errorf("%s: there is no preset %q", c.Name, c.Preset)
		}
		all = preset
	}
	all.Once = all.Once || c.Requests.Once
	merge := func(into *Request, from Request) {
		if from != (Request{}) {
			*into = from
		}
	}
	merge(&all.Install, c.Requests.Install)
	merge(&all.Verify, c.Requests.Verify)
	merge(&all.Release, c.Requests.Release)
	p := &plan{once: all.Once}
	var errs []error
	for name, r := range map[string]struct {
		from Request
		to   *compiled
	}{"install": {all.Install, &p.install}, "verify": {all.Verify, &p.verify}, "release": {all.Release, &p.release}} {
		k, err := r.from.compile(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, err))
			continue
		}
		*r.to = *k
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if all.Verify.Want == "" {
		return nil, fmt.Errorf("%s: verify.want is missing: what is not read back is not known to stand", c.Name)
	}
	// A preset that needs a var says so now, not when it is wanted.
	sample := target{addr: netip.MustParseAddr("192.0.2.1"), name: "minewarden-0", rule: "1", ends: time.Hour}
	for _, k := range []*compiled{&p.install, &p.verify, &p.release} {
		if _, _, err := k.render(&sample, c.vars()); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	if _, err := p.verify.wanted(&sample, c.vars()); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return p, nil
}

func (r *Request) compile(name string) (*compiled, error) {
	if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, r.Method) {
		return nil, fmt.Errorf("%s: method %q", name, r.Method)
	}
	if !strings.HasPrefix(r.Path, "/") {
		return nil, fmt.Errorf("%s: path %q does not begin with /", name, r.Path)
	}
	k := &compiled{method: r.Method, id: r.ID}
	var errs [3]error
	k.path, errs[0] = compileText(name+".path", r.Path)
	k.body, errs[1] = compileText(name+".body", r.Body)
	k.want, errs[2] = compileText(name+".want", r.Want)
	return k, errors.Join(errs[:]...)
}

// vars are the configured ones over those that have defaults.
func (c *Config) vars() map[string]string {
	v := map[string]string{"priority": "60000", "table": "0"}
	for k, text := range c.Vars {
		v[k] = text
	}
	return v
}

func execute(t *template.Template, f facts) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, f); err != nil {
		return "", err
	}
	if b.Len() > maxRendered {
		return "", fmt.Errorf("%s: longer than %d bytes", t.Name(), maxRendered)
	}
	return b.String(), nil
}

func (k *compiled) render(t *target, vars map[string]string) (path, body string, err error) {
	if path, err = execute(k.path, t.facts(vars, pathText)); err != nil {
		return "", "", err
	}
	if body, err = execute(k.body, t.facts(vars, jsonText)); err != nil {
		return "", "", err
	}
	if body != "" && !json.Valid([]byte(body)) {
		return "", "", fmt.Errorf("%s is not JSON: %s", k.body.Name(), body)
	}
	return path, body, nil
}

func (k *compiled) wanted(t *target, vars map[string]string) (any, error) {
	text, err := execute(k.want, t.facts(vars, jsonText))
	if err != nil {
		return nil, err
	}
	want, err := decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s is not JSON: %w", k.want.Name(), err)
	}
	if _, ok := want.(map[string]any); !ok {
		return nil, fmt.Errorf("%s is not a JSON object", k.want.Name())
	}
	return want, nil
}

// pathText is safe as a segment of a path and as a value in a query alike. A segment of dots alone would lead elsewhere.
func pathText(s string) string {
	if strings.Trim(s, ".") == "" {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
