package playbooks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxCACAO = 2 << 20

var (
	cacaoID   = regexp.MustCompile(`^([a-z][a-z0-9-]+[a-z0-9])--[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$`)
	cacaoVar  = regexp.MustCompile(`__[a-zA-Z_][a-zA-Z0-9_-]{0,199}__:`)
	notInName = regexp.MustCompile(`[^a-z0-9]+`)
)

// Import reads a CACAO 2.0 playbook. What minewarden cannot run as it is written is refused with a sentence, never left out; notes
// say what is read and has no effect here. now decides whether the playbook is valid.
func Import(text []byte, now time.Time) (p Playbook, notes []string, err error) {
	in, err := readCACAO(text)
	if err != nil {
		return Playbook{}, nil, err
	}
	if err := in.check(now); err != nil {
		return Playbook{}, nil, err
	}
	im := importer{in: in}
	if p, err = im.playbook(); err != nil {
		return Playbook{}, nil, err
	}
	if err := p.Check(); err != nil {
		return Playbook{}, nil, err
	}
	if len(in.Signatures) > 0 {
		im.notes = append(im.notes, "its signature was not checked")
	}
	return p, im.notes, nil
}

func readCACAO(text []byte) (*cacaoPlaybook, error) {
	if len(text) > maxCACAO {
		return nil, fmt.Errorf("larger than %d MiB", maxCACAO>>20)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	var missing []string
	for _, key := range []string{"type", "spec_version", "id", "name", "created_by", "created", "modified", "workflow_start", "workflow"} {
		if _, ok := top[key]; !ok {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no CACAO 2.0 playbook: it has no %s", strings.Join(missing, ", "))
	}
	var in cacaoPlaybook
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("no CACAO 2.0 playbook: %w", err)
	}
	return &in, nil
}

// check holds the playbook to what the standard requires of the properties that are used here.
func (in *cacaoPlaybook) check(now time.Time) error {
	kindOf := func(id string) string {
		if m := cacaoID.FindStringSubmatch(id); m != nil {
			return m[1]
		}
		return ""
	}
	switch {
	case in.Type != "playbook":
		return fmt.Errorf("type is %q, not playbook", in.Type)
	case in.SpecVersion != cacaoVersion:
		return fmt.Errorf("spec_version is %q: only %s is read", in.SpecVersion, cacaoVersion)
	case kindOf(in.ID) != "playbook":
		return fmt.Errorf("id %q is not of the form playbook--UUID", in.ID)
	case kindOf(in.CreatedBy) == "":
		return fmt.Errorf("created_by %q is not of the form identity--UUID", in.CreatedBy)
	case strings.TrimSpace(in.Name) == "":
		return errors.New("name is empty")
	case in.Revoked:
		return errors.New("its author has revoked it")
	case len(in.Workflow) > maxSteps+2:
		return fmt.Errorf("it has %d steps: at most %d are read", len(in.Workflow), maxSteps)
	}
	created, err1 := time.Parse(time.RFC3339, in.Created)
	modified, err2 := time.Parse(time.RFC3339, in.Modified)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("created and modified: %w", err)
	}
	if modified.Before(created) {
		return errors.New("modified is before created")
	}
	if in.ValidFrom != "" {
		if t, err := time.Parse(time.RFC3339, in.ValidFrom); err != nil || now.Before(t) {
			return fmt.Errorf("it is not valid before %s", in.ValidFrom)
		}
	}
	if in.ValidUntil != "" {
		if t, err := time.Parse(time.RFC3339, in.ValidUntil); err != nil || !now.Before(t) {
			return fmt.Errorf("it is not valid any more: %s", in.ValidUntil)
		}
	}
	for id, s := range in.Workflow {
		if kindOf(id) != s.Type {
			return fmt.Errorf("step %s says that its type is %q", id, s.Type)
		}
	}
	return nil
}

type importer struct {
	in    *cacaoPlaybook
	notes []string
}

// playbook follows the workflow from its start. What minewarden runs is one line of steps.
func (im *importer) playbook() (Playbook, error) {
	p := Playbook{Name: slug(im.in.Name, "imported"), Title: im.in.Name, Description: im.in.Description}
	if raw := im.in.Extensions[cacaoOwn]; raw != nil {
		var meta ownMeta
		if err := strictJSON(raw, &meta); err != nil {
			return Playbook{}, fmt.Errorf("its minewarden extension cannot be read: %w", err)
		}
		p.Name, p.Technique, p.Trigger, p.Deadlines = meta.Name, meta.Technique, meta.Trigger, meta.Deadlines
	}
	line, err := im.line()
	if err != nil {
		return Playbook{}, err
	}
	names := map[string]string{} // by CACAO's id
	for _, id := range line {
		s, err := im.step(id, p.Steps)
		if err != nil {
			return Playbook{}, err
		}
		names[id] = s.ID
		p.Steps = append(p.Steps, s)
	}
	for i, id := range line {
		if err := im.failure(&p.Steps[i], id, names); err != nil {
			return Playbook{}, err
		}
	}
	return p, nil
}

// line returns the action steps from start to end.
func (im *importer) line() ([]string, error) {
	start, ok := im.in.Workflow[im.in.Start]
	if !ok || start.Type != "start" {
		return nil, fmt.Errorf("workflow_start %q is no start step of the workflow", im.in.Start)
	}
	if e := im.in.Exception; e != "" && im.in.Workflow[e].Type != "end" {
		return nil, errors.New("workflow_exception leads to steps of its own: minewarden ends a playbook at a failure that no step takes; let the steps name what follows on_failure")
	}
	var line []string
	for id := start.OnCompletion; ; {
		s, ok := im.in.Workflow[id]
		switch {
		case !ok:
			return nil, fmt.Errorf("step %q is named and is not in the workflow", id)
		case s.Type == "end":
			if len(line) == 0 {
				return nil, errors.New("there is no step between start and end")
			}
			return line, im.reached(line)
		case s.Type != "action":
			return nil, fmt.Errorf("step %q is a %s step: minewarden runs one line of action steps", s.label(id), s.Type)
		case slices.Contains(line, id):
			return nil, fmt.Errorf("step %q comes again after itself: minewarden runs no loops", s.label(id))
		}
		line = append(line, id)
		if id = s.OnCompletion; id == "" {
			id = s.OnSuccess
		}
		if s.OnCompletion != "" && (s.OnSuccess != "" || s.OnFailure != "") {
			return nil, fmt.Errorf("step %q has on_completion beside on_success or on_failure, which the standard forbids", s.label(line[len(line)-1]))
		}
	}
}

// reached refuses steps off the line: they would be lost.
func (im *importer) reached(line []string) error {
	var off []string
	for id, s := range im.in.Workflow {
		if s.Type != "start" && s.Type != "end" && !slices.Contains(line, id) {
			off = append(off, fmt.Sprintf("%q", s.label(id)))
		}
	}
	if len(off) == 0 {
		return nil
	}
	slices.Sort(off)
	return fmt.Errorf("off the line from start to end: %s; minewarden runs one line of steps, in which a failure can only lead further down", strings.Join(off, ", "))
}

func (s *cacaoStep) label(id string) string {
	if s.Name != "" {
		return s.Name
	}
	return id
}

func (im *importer) step(id string, before []Step) (Step, error) {
	c := im.in.Workflow[id]
	name := c.label(id)
	switch {
	case len(c.Commands) == 0:
		return Step{}, fmt.Errorf("step %q has no commands, which the standard requires", name)
	case c.Agent == "":
		return Step{}, fmt.Errorf("step %q has no agent, which the standard requires", name)
	case c.Delay != "" && c.Delay != "0":
		return Step{}, fmt.Errorf("step %q waits %s ms before it begins: minewarden begins a step when the one before has ended", name, c.Delay)
	}
	if raw := c.Extensions[cacaoOwn]; raw != nil {
		var s Step
		if err := strictJSON(raw, &s); err != nil {
			return Step{}, fmt.Errorf("the minewarden extension of step %q cannot be read: %w", name, err)
		}
		return s, nil
	}
	if len(c.InArgs)+len(c.OutArgs) > 0 {
		return Step{}, fmt.Errorf("step %q takes or gives variables: minewarden hands none from step to step", name)
	}
	var text []string
	for _, cmd := range c.Commands {
		t, err := cmd.text(name)
		if err != nil {
			return Step{}, err
		}
		text = append(text, t)
	}
	s := Step{Title: name, Kind: ByHand, Description: c.Description}
	for _, id := range c.Targets {
		if a, ok := im.in.Targets[id]; ok && a.Name != "" {
			text = append(text, "For: "+a.Name+".")
		}
	}
	if ms, err := strconv.ParseInt(c.Timeout.String(), 10, 64); err == nil && ms > 0 {
		text = append(text, fmt.Sprintf("Its author allows %s.", time.Duration(min(ms, int64(MaxDuration/time.Millisecond)))*time.Millisecond))
		im.notes = append(im.notes, fmt.Sprintf("the timeout of manual step %q is told to the person, and ends nothing", name))
	}
	if s.Description != "" {
		s.Description += "\n"
	}
	s.Description += strings.Join(text, "\n")
	s.ID = slug(name, "step")
	for n := 2; slices.ContainsFunc(before, func(o Step) bool { return o.ID == s.ID }); n++ {
		s.ID = fmt.Sprintf("%.50s-%d", slug(name, "step"), n)
	}
	return s, nil
}

func (cmd *cacaoCommand) text(step string) (string, error) {
	if cmd.Type != "manual" {
		return "", fmt.Errorf("step %q wants a %s command: minewarden runs no commands that a playbook brings along; make the step manual, or use an action of a responder", step, cmd.Type)
	}
	t := cmd.Command
	if t == "" && cmd.CommandB64 != "" {
		b, err := base64.StdEncoding.DecodeString(cmd.CommandB64)
		if err != nil {
			return "", fmt.Errorf("command_b64 of step %q: %w", step, err)
		}
		t = strings.ToValidUTF8(string(b), "�")
	}
	if strings.TrimSpace(t) == "" {
		return "", fmt.Errorf("a manual command of step %q says nothing", step)
	}
	if cacaoVar.MatchString(t) {
		return "", fmt.Errorf("step %q uses variables: minewarden has none; write the value", step)
	}
	return t, nil
}

// failure takes what follows a failure from the workflow, which may have been edited since the extension was written.
func (im *importer) failure(s *Step, id string, names map[string]string) error {
	c := im.in.Workflow[id]
	to := c.OnFailure
	switch {
	case c.OnCompletion != "":
		s.OnFailure = Continue
	case to == "" || im.in.Workflow[to].Type == "end":
		if s.OnFailure != "" {
			s.OnFailure = Stop
		}
	case to == c.OnSuccess:
		s.OnFailure = Continue
	case names[to] == "":
		return fmt.Errorf("step %q goes on at %q after a failure, which is not in the workflow", c.label(id), to)
	default:
		s.OnFailure = names[to]
	}
	return nil
}

func strictJSON(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows it")
	}
	return nil
}

// slug makes a name of a title.
func slug(title, otherwise string) string {
	s := strings.Trim(notInName.ReplaceAllString(strings.ToLower(title), "-"), "-")
	if len(s) > 50 {
		s = strings.Trim(s[:50], "-")
	}
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		s = strings.Trim(otherwise+"-"+s, "-")
	}
	if s == Stop || s == Continue {
		s += "-it"
	}
	return s
}
