package playbooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// cacaoVersion is the version of OASIS CACAO Security Playbooks that is written and read.
const cacaoVersion = "cacao-2.0"

// cacaoCreated is when this form of export was made. CACAO wants the time of creation never to change.
var cacaoCreated = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// cacaoPlaybook has the properties of CACAO that are written or decide something when read.
type cacaoPlaybook struct {
	Type          string                     `json:"type"`
	SpecVersion   string                     `json:"spec_version"`
	ID            string                     `json:"id"`
	Name          string                     `json:"name"`
	Description   string                     `json:"description,omitempty"`
	Types         []string                   `json:"playbook_types,omitempty"`
	Activities    []string                   `json:"playbook_activities,omitempty"`
	CreatedBy     string                     `json:"created_by"`
	Created       string                     `json:"created"`
	Modified      string                     `json:"modified"`
	Revoked       bool                       `json:"revoked,omitempty"`
	ValidFrom     string                     `json:"valid_from,omitempty"`
	ValidUntil    string                     `json:"valid_until,omitempty"`
	Labels        []string                   `json:"labels,omitempty"`
	References    []cacaoReference           `json:"external_references,omitempty"`
	Variables     map[string]json.RawMessage `json:"playbook_variables,omitempty"`
	Start         string                     `json:"workflow_start"`
	Exception     string                     `json:"workflow_exception,omitempty"`
	Workflow      map[string]cacaoStep       `json:"workflow"`
	Agents        map[string]cacaoAgent      `json:"agent_definitions,omitempty"`
	Targets       map[string]cacaoAgent      `json:"target_definitions,omitempty"`
	ExtensionDefs map[string]cacaoExtension  `json:"extension_definitions,omitempty"`
	Extensions    map[string]json.RawMessage `json:"playbook_extensions,omitempty"`
	Signatures    []json.RawMessage          `json:"signatures,omitempty"`
}

type cacaoReference struct {
	Name       string `json:"name,omitempty"`
	Source     string `json:"source,omitempty"`
	URL        string `json:"url,omitempty"`
	ExternalID string `json:"external_id,omitempty"`
}

type cacaoStep struct {
	Type         string                     `json:"type"`
	Name         string                     `json:"name,omitempty"`
	Description  string                     `json:"description,omitempty"`
	Delay        json.Number                `json:"delay,omitempty"`
	Timeout      json.Number                `json:"timeout,omitempty"` // milliseconds
	OnCompletion string                     `json:"on_completion,omitempty"`
	OnSuccess    string                     `json:"on_success,omitempty"`
	OnFailure    string                     `json:"on_failure,omitempty"`
	Commands     []cacaoCommand             `json:"commands,omitempty"`
	Agent        string                     `json:"agent,omitempty"`
	Targets      []string                   `json:"targets,omitempty"`
	InArgs       []string                   `json:"in_args,omitempty"`
	OutArgs      []string                   `json:"out_args,omitempty"`
	Extensions   map[string]json.RawMessage `json:"step_extensions,omitempty"`
}

type cacaoCommand struct {
	Type        string `json:"type"`
	Command     string `json:"command,omitempty"`
	CommandB64  string `json:"command_b64,omitempty"`
	Description string `json:"description,omitempty"`
	Activity    string `json:"playbook_activity,omitempty"`
}

type cacaoAgent struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

type cacaoExtension struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	CreatedBy   string `json:"created_by"`
	Schema      string `json:"schema"`
	Version     string `json:"version"`
}

// ownMeta is what the playbook extension holds: what CACAO has no property for.
type ownMeta struct {
	Name      string    `json:"playbook"`
	Technique []string  `json:"technique,omitempty"`
	Trigger   Trigger   `json:"trigger,omitzero"`
	Deadlines Deadlines `json:"deadlines,omitzero"`
}

// identifier makes the same UUID from the same parts for ever: who imports a newer export updates what is there.
func identifier(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte("minewarden\x00" + kind + "\x00" + strings.Join(parts, "\x00")))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // as version 4: CACAO wants that of steps
	h := hex.EncodeToString(b)
	return fmt.Sprintf("%s--%s-%s-%s-%s-%s", kind, h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

var (
	cacaoIdentity  = identifier("identity", "minewarden")
	cacaoOwn       = identifier("extension-definition", "playbook", "1")
	cacaoOwnAgent  = identifier("linux", "agent")
	cacaoOwnPerson = identifier("individual", "responder")
)

// Export writes a playbook as CACAO 2.0. Products that do not know minewarden find in each step a manual command that says what
// to do; the exact step is in an extension. modified is when the playbook last changed.
func Export(p Playbook, modified time.Time) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("export playbook %s: %w", p.Name, err)
	}
	if modified.Before(cacaoCreated) {
		modified = cacaoCreated
	}
	meta, err := json.Marshal(ownMeta{p.Name, p.Technique, p.Trigger, p.Deadlines})
	if err != nil {
		return nil, fmt.Errorf("export playbook %s: %w", p.Name, err)
	}
	stepID := func(id string) string { return identifier("action", p.Name, id) }
	first, last := identifier("start", p.Name), identifier("end", p.Name)
	out := cacaoPlaybook{
		Type: "playbook", SpecVersion: cacaoVersion, ID: identifier("playbook", p.Name), Name: p.Title, Description: p.Description,
		Types: []string{"mitigation", "remediation"}, CreatedBy: cacaoIdentity, Created: stamp(cacaoCreated), Modified: stamp(modified),
		Labels: []string{"cryptojacking", "minewarden"}, Start: first, Exception: last,
		Workflow: map[string]cacaoStep{
			first: {Type: "start", Name: "Start", OnCompletion: stepID(p.Steps[0].ID)},
			last:  {Type: "end", Name: "End"},
		},
		Agents: map[string]cacaoAgent{},
		ExtensionDefs: map[string]cacaoExtension{cacaoOwn: {
			Type: "extension-definition", Name: "minewarden playbook", CreatedBy: cacaoIdentity, Version: "1.0.0",
			Description: "The playbook or step in minewarden's own form.", Schema: "minewarden playbooks format: playbooks/README.md of github.com/minewarden/minewarden",
		}},
		Extensions: map[string]json.RawMessage{cacaoOwn: meta},
	}
	for _, id := range p.Technique {
		out.References = append(out.References, cacaoReference{Name: "MITRE ATT&CK " + id, ExternalID: id, URL: "https://attack.mitre.org/techniques/" + strings.ReplaceAll(id, ".", "/")})
	}
	seen := map[string]bool{}
	for i := range p.Steps {
		s := &p.Steps[i]
		next := last
		if i+1 < len(p.Steps) {
			next = stepID(p.Steps[i+1].ID)
		}
		ext, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("export playbook %s: %w", p.Name, err)
		}
		c := cacaoStep{
			Type: "action", Name: s.Title, Description: s.Description, Agent: cacaoOwnPerson, Extensions: map[string]json.RawMessage{cacaoOwn: ext},
			Commands: []cacaoCommand{{Type: "manual", Command: s.instruction(), Activity: s.activity()}},
		}
		out.Agents[cacaoOwnPerson] = cacaoAgent{Type: "individual", Name: "Responder", Description: "Who answers the incident."}
		if s.Action != nil {
			c.Agent = cacaoOwnAgent
			out.Agents[cacaoOwnAgent] = cacaoAgent{Type: "linux", Name: "minewarden", Description: "The agent on the machine of the incident."}
			c.Timeout = json.Number(fmt.Sprint(s.timeout().Milliseconds()))
		}
		switch s.OnFailure {
		case Continue:
			c.OnCompletion = next
		case "", Stop:
			c.OnSuccess, c.OnFailure = next, last
		default:
			c.OnSuccess, c.OnFailure = next, stepID(s.OnFailure)
		}
		out.Workflow[stepID(s.ID)] = c
		if a := s.activity(); !seen[a] {
			seen[a] = true
			out.Activities = append(out.Activities, a)
		}
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("export playbook %s: %w", p.Name, err)
	}
	return append(b, '\n'), nil
}

// stamp writes a time to the millisecond, as CACAO wants it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// instruction says to a person what the step does.
func (s *Step) instruction() string {
	var b strings.Builder
	if w := s.When; w != nil {
		b.WriteString("Only " + w.text() + ": ")
	}
	b.WriteString(s.Title)
	if s.Action != nil {
		fmt.Fprintf(&b, " (minewarden respond do INCIDENT %s)", s.Action.Op)
	}
	if s.Kind == ByApproval {
		b.WriteString(", after somebody approved what it would touch")
	}
	if s.Deadline > 0 {
		fmt.Fprintf(&b, ", within %s after the incident was opened", s.Deadline)
	}
	return b.String()
}

func (w *When) text() string {
	var parts []string
	add := func(yes bool, format string, args ...any) {
		if yes {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(w.Severity > 0, "if the incident is %s or worse", w.Severity)
	add(w.Score > 0, "if its score is %.2f or more", w.Score)
	add(len(w.Rules) > 0, "with findings of %s", strings.Join(w.Rules, ", "))
	add(w.Container != nil && *w.Container, "if it runs in a container")
	add(w.Container != nil && !*w.Container, "if it runs in no container")
	add(len(w.Done) > 0, "after %s", strings.Join(w.Done, ", "))
	add(len(w.NotDone) > 0, "if not done: %s", strings.Join(w.NotDone, ", "))
	return strings.Join(parts, " and ")
}

// activity is the word of CACAO's vocabulary for what the step does.
func (s *Step) activity() string {
	if s.Action == nil {
		return "execute-operation"
	}
	switch s.Action.Op {
	case "isolate", "offline":
		return "disconnect-system"
	case "block":
		return "restrict-access"
	case "collect":
		return "analyze-collected-data"
	case "restore-file":
		return "restore-data"
	case "verify-package":
		return "scan-system"
	case "expire-password", "lock-account", "revoke-key", "remove-key":
		return "restrict-access"
	}
	return "eliminate-risk"
}
