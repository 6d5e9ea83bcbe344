package playbooks

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/yamltree"
)

// The bounds of a playbook.
const (
	maxSize  = 256 << 10
	maxSteps = 100
	maxList  = 200
	maxText  = 8 << 10 // bytes of a title or description
)

var (
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	wordForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	ruleForm = regexp.MustCompile(`^[a-z][a-z0-9-]*/[A-Za-z0-9._-]*$`)
)

// Parse reads a playbook. An unknown key is an error, and every error names its line.
func Parse(text []byte) (p Playbook, err error) {
	if len(text) > maxSize {
		return Playbook{}, fmt.Errorf("larger than %d KiB", maxSize>>10)
	}
	docs, err := yamltree.Parse(text) // it refuses what the decoder would not survive
	if err != nil {
		return Playbook{}, err
	}
	if len(docs) != 1 || docs[0].Kind != yamltree.Map {
		return Playbook{}, errors.New("line 1: want one document with the keys playbook, title and steps")
	}
	defer func() { // the decoder is fed whatever a user wrote
		if r := recover(); r != nil {
			p, err = Playbook{}, fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&p); err != nil {
		return Playbook{}, decodeError(err, docs[0])
	}
	if where, err := p.check(); err != nil {
		return Playbook{}, fmt.Errorf("line %d: %w", lineOf(docs[0], where), err)
	}
	return p, nil
}

// decodeError keeps the line and the sentence of the decoder's error, and leaves its drawing.
func decodeError(err error, doc *yamltree.Node) error {
	var ye yaml.Error
	if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
		return fmt.Errorf("line %d: %s", ye.GetToken().Position.Line, oneLine(ye.GetMessage()))
	}
	sentence := oneLine(yaml.FormatError(err, false, false))
	if line := badWord(doc, 0); line > 0 { // the decoder forgets where it met a word that its reader refused
		return fmt.Errorf("line %d: %s", line, sentence)
	}
	return errors.New(sentence)
}

// badWord returns the line of the first time or severity that is none.
func badWord(n *yamltree.Node, depth int) int {
	if depth > 10 {
		return 0
	}
	for _, pair := range n.Pairs {
		var err error
		switch pair.Key {
		case "timeout", "deadline", Isolated, Report, Review:
			err = new(Duration).UnmarshalText([]byte(pair.Value.Value))
		case "severity":
			_, err = minewarden.ParseSeverity(pair.Value.Value)
		}
		if err != nil {
			return pair.Line
		}
		if line := badWord(pair.Value, depth+1); line > 0 {
			return line
		}
	}
	for _, item := range n.Items {
		if line := badWord(item, depth+1); line > 0 {
			return line
		}
	}
	return 0
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Marshal writes a playbook as Parse reads it.
func Marshal(p Playbook) ([]byte, error) {
	b, err := yaml.MarshalWithOptions(p, yaml.Indent(2), yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return nil, fmt.Errorf("write playbook %s: %w", p.Name, err)
	}
	return b, nil
}

// Check says what is wrong with a playbook that did not come from Parse.
func (p *Playbook) Check() error {
	_, err := p.check()
	return err
}

// lineOf follows keys and indices to a node and returns its line, or that of the last one that is there.
func lineOf(n *yamltree.Node, path []any) int {
	line := n.Line
	for _, part := range path {
		var next *yamltree.Node
		switch part := part.(type) {
		case string:
			for _, pair := range n.Pairs {
				if pair.Key == part {
					next, line = pair.Value, pair.Line
				}
			}
		case int:
			if part < len(n.Items) {
				next = n.Items[part]
				line = next.Line
			}
		}
		if next == nil {
			return line
		}
		n = next
	}
	return line
}

// check returns what is wrong and where: keys and indices from the top.
func (p *Playbook) check() (where []any, err error) {
	at := func(path ...any) []any { return path }
	switch {
	case !nameForm.MatchString(p.Name):
		return at("playbook"), fmt.Errorf("playbook: %q is no name: want small letters, digits and -", p.Name)
	case strings.TrimSpace(p.Title) == "" || len(p.Title) > maxText:
		return at("title"), errors.New("title: want a line that says what it is for")
	case len(p.Description) > maxText:
		return at("description"), fmt.Errorf("description: longer than %d bytes", maxText)
	case len(p.Technique) > maxList:
		return at("technique"), errors.New("technique: too many")
	case p.Trigger.Start != "" && p.Trigger.Start != Propose && p.Trigger.Start != Automatic:
		return at("trigger", "start"), fmt.Errorf("start: %q is neither propose nor automatic", p.Trigger.Start)
	case p.Trigger.Score < 0 || p.Trigger.Score > 1:
		return at("trigger", "score"), errors.New("score: want 0 to 1")
	case len(p.Trigger.Programs) > maxList || slices.ContainsFunc(p.Trigger.Programs, func(n string) bool { return n == "" || len(n) > 255 || strings.Contains(n, "/") }):
		return at("trigger", "programs"), errors.New("programs: want names of programs without a folder")
	case len(p.Steps) == 0:
		return at("steps"), errors.New("steps: there are none")
	case len(p.Steps) > maxSteps:
		return at("steps"), fmt.Errorf("steps: more than %d", maxSteps)
	}
	if err := checkRules(p.Trigger.Rules); err != nil {
		return at("trigger", "rules"), err
	}
	evidence := false
	for i := range p.Steps {
		s := &p.Steps[i]
		if key, err := p.checkStep(i); err != nil {
			return at("steps", i, key), fmt.Errorf("step %q: %s: %w", s.ID, key, err)
		}
		if s.Action == nil {
			continue
		}
		if *s.Action == (Pick{Responder: "evidence", Op: "collect"}) {
			evidence = true
		}
		if s.Action.Op == "kill" && !evidence && !s.WithoutEvidence {
			return at("steps", i, "action"), fmt.Errorf("step %q: it kills, and no step before it collects evidence: add one, or say without-evidence: true", s.ID)
		}
	}
	return nil, nil
}

// checkStep returns what is wrong with a step, and the key that it is about.
func (p *Playbook) checkStep(i int) (key string, err error) {
	s := &p.Steps[i]
	before := func(id string) bool {
		return slices.ContainsFunc(p.Steps[:i], func(o Step) bool { return o.ID == id })
	}
	switch {
	case !nameForm.MatchString(s.ID) || s.ID == Stop || s.ID == Continue:
		return "id", errors.New("want small letters, digits and -, and neither stop nor continue")
	case before(s.ID):
		return "id", errors.New("another step has it already")
	case strings.TrimSpace(s.Title) == "" || len(s.Title) > maxText:
		return "title", errors.New("want a line that says what is done")
	case len(s.Description) > maxText:
		return "description", fmt.Errorf("longer than %d bytes", maxText)
	case s.Kind != ByItself && s.Kind != ByApproval && s.Kind != ByHand:
		return "kind", fmt.Errorf("%q is not automatic, approval or manual", s.Kind)
	case s.Kind == ByHand && s.Action != nil:
		return "action", errors.New("a person does a manual step: say in its description what")
	case s.Kind != ByHand && s.Action == nil:
		return "action", errors.New("the step has none, so only a person can do it: make it manual")
	case s.Action != nil && (!wordForm.MatchString(s.Action.Responder) || !wordForm.MatchString(s.Action.Op)):
		return "action", errors.New("want a responder and an op, as {responder: process, op: freeze}")
	case s.Action != nil && len(s.Action.Target) > maxText:
		return "action", errors.New("target is too long")
	case s.Action == nil && s.Timeout != 0:
		return "timeout", errors.New("only an action has one; a manual step has a deadline")
	case s.Meets != "" && s.Meets != Isolated && s.Meets != Report && s.Meets != Review:
		return "meets", fmt.Errorf("%q is not isolated, report or review", s.Meets)
	case s.OnFailure != "" && s.OnFailure != Stop && s.OnFailure != Continue &&
		!slices.ContainsFunc(p.Steps[i+1:], func(o Step) bool { return o.ID == s.OnFailure }):
		return "on-failure", fmt.Errorf("%q is not stop, continue or a later step", s.OnFailure)
	}
	if w := s.When; w != nil {
		if w.Score < 0 || w.Score > 1 {
			return "when", errors.New("score: want 0 to 1")
		}
		if err := checkRules(w.Rules); err != nil {
			return "when", err
		}
		for _, id := range append(slices.Clone(w.Done), w.NotDone...) {
			if !before(id) {
				return "when", fmt.Errorf("%q is no step before this one", id)
			}
		}
	}
	return "", nil
}

func checkRules(rules []string) error {
	if len(rules) > maxList {
		return errors.New("too many rules")
	}
	for _, r := range rules {
		if !ruleForm.MatchString(r) || len(r) > 200 {
			return fmt.Errorf("rule %q: want prefix/name, or prefix/ for all of them", r)
		}
	}
	return nil
}
