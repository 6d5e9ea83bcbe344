package minewarden

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"time"
)

// An Auditor checks the ways in that one product, or one part of a host, offers. Audit looks at one target and changes
// nothing there, unless the target says Intrusive. It returns an error when it could not look at all (no answer, no
// permission, a file that cannot be read as what it is: then with line and column); what it could not look at in part is
// a Check with StatusUnknown and the reason. Neither is ever a pass. A target of a kind, or of a product, that is not the
// auditor's is no error: Verdict.Applies is false and there are no checks.
//
// Audit is safe for concurrent use: an auditor keeps nothing between calls.
type Auditor interface {
	Info() Info
	Rules() []Rule
	Audit(ctx context.Context, target Target) (Verdict, error)
}

// A FileAuditor is an Auditor that also reads configuration kept in a repository. Claims is asked for every file that a
// walk meets, so it is cheap and looks only at its arguments: name is the slash-separated path, head the first
// ClaimHead bytes of the file. A false claim costs time only, for Audit may still say that it does not apply.
type FileAuditor interface {
	Auditor
	Claims(name string, head []byte) bool
}

// ClaimHead is how much of a file Claims is given, in bytes.
const ClaimHead = 16 << 10

// TargetKind tells which fields of a Target count.
type TargetKind string

// The kinds of target.
const (
	TargetHost    TargetKind = "host"    // Root: a running host, an image, a mounted disk, a fixture
	TargetService TargetKind = "service" // Product, URL, Access
	TargetFile    TargetKind = "file"    // Path, Data: one file of a repository
)

// A Target is what an audit looks at.
type Target struct {
	Kind TargetKind
	// Name is the target as the user wrote it. It becomes Finding.Input, and the score is kept by it.
	Name string
	// Root holds the host's files, "etc/passwd" without a leading slash, with proc/ and sys/ where the host runs.
	Root fs.FS
	// Product is the auditor's name that the user asked for ("nomad"); an auditor leaves others' services alone.
	Product string
	// URL is the base of the service: a scheme, host, port, and the sub-path when a proxy serves it below one.
	// unix:///var/run/docker.sock names a socket.
	URL    string
	Access ServiceAccess
	// Path is the file's slash-separated path as the user would name it; Data its whole content, within the walk's limit.
	Path string
	Data []byte
	// Line is where Data begins in the file at Path, from 1, when Data is a fragment embedded in another file; 0 is 1.
	Line int
	// Intrusive allows probes that could change the target. Each says before what it would do.
	Intrusive bool
}

// ServiceAccess is how to talk to a service. Without Token and certificate the audit sees what an attacker sees; with them it
// asks the attacker's questions without them all the same, and the owner's with them.
type ServiceAccess struct {
	Token   Secret
	CA      []byte        // PEM; nil: the system's
	Cert    []byte        // PEM client certificate
	Key     Secret        // PEM, of Cert
	Timeout time.Duration // of one request; 0: the client's default
}

// A Secret is text that no log, report or error shows: printed, it is "REDACTED". Only string(s) reads it.
type Secret string

const redacted = "REDACTED"

// String hides the secret.
func (s Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return redacted }

// MarshalText hides the secret from JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// A Verdict is what an audit found.
type Verdict struct {
	Applies bool    // false: the product is not there, and there are no checks
	Product string  // the auditor's name
	Version string  // as the target tells it; "" unknown
	Checks  []Check // one for every rule looked at, and one for each subject where a rule can fail for several
}

// Findings returns the findings of the checks that failed, or possibly failed, in order.
func (v Verdict) Findings() []Finding {
	var fs []Finding
	for _, c := range v.Checks {
		if c.Finding != nil {
			fs = append(fs, *c.Finding)
		}
	}
	return fs
}

// Status is how a check ended.
type Status string

// The statuses of a check.
const (
	StatusPass          Status = "pass"           // looked, and it is as it should be
	StatusFail          Status = "fail"           // proven wrong; Finding is set
	StatusPossible      Status = "possible"       // the facts allow it but do not prove it; Finding is set, with less confidence
	StatusUnknown       Status = "unknown"        // could not look; Proof tells why. Never a pass
	StatusNotApplicable Status = "not_applicable" // the question does not arise; Proof tells why
)

// A Check is one question, its answer, and how the answer is known.
type Check struct {
	Rule    string   `json:"rule"` // a Rule.ID
	Status  Status   `json:"status"`
	Proof   string   `json:"proof"`            // one sentence: what was asked and answered, or which line says it, or why not known
	Finding *Finding `json:"-"`                // for StatusFail and StatusPossible only
	Repair  *Repair  `json:"repair,omitempty"` // for StatusFail and StatusPossible; nil: only Rule.Advice helps
	Subject Subject  `json:"subject,omitzero"` // what was looked at; the finding's subject
}

// A Repair is the exact hardened configuration for one failed check.
type Repair struct {
	Summary string `json:"summary"`          // one line: what the repair does, and what it may break
	Config  string `json:"config,omitempty"` // what a person would paste, in Format
	Format  Format `json:"format,omitempty"`
	Edits   []Edit `json:"edits,omitempty"` // what the program can apply by itself; empty: a person must do it
	// Needs is what must be in place before the edits are made, such as certificates; without it the product would not start.
	// Such edits are applied only when the user says that it is. Empty: nothing.
	Needs string `json:"needs,omitempty"`
}

// Format names a syntax that edits are written in.
type Format string

// The formats of configuration.
const (
	FormatHCL        Format = "hcl"
	FormatJSON       Format = "json"
	FormatINI        Format = "ini"     // app.ini; Key is section, key; the section before the first header is ""
	FormatSystemd    Format = "systemd" // unit files and drop-ins; Key is section, directive
	FormatYAML       Format = "yaml"
	FormatKeyValue   Format = "keyvalue" // sshd_config, sysctl.d: Key is the one keyword
	FormatDockerfile Format = "dockerfile"
	FormatShell      Format = "shell" // commands for a person; never in an Edit
	FormatMode       Format = "mode"  // Value is the wanted permission bits, as "0600"; Key is empty
)

// EditOp is what an edit does.
type EditOp string

// The edits.
const (
	EditSet    EditOp = "set"    // Key shall have Value; parents are made where missing
	EditDelete EditOp = "delete" // Key, with all below it, shall not be there
	EditRemove EditOp = "remove" // the file shall not be there (it is kept in the backup)
)

// An Edit is one change to one file. Applying it twice is the same as once.
type Edit struct {
	Path   string `json:"path"` // of the target: Target.Path for a file, a path under Target.Root for a host
	Format Format `json:"format"`
	Op     EditOp `json:"op"`
	// Key leads to the value from the outside in: {"acl","enabled"}. A labelled HCL block takes one element a label:
	// {"plugin","raw_exec","config","enabled"}. A number is an index into a list (JSON, YAML) or, for repeated HCL blocks
	// of one type and labels, which of them.
	Key []string `json:"key,omitempty"`
	// Value is the wanted value as JSON (true, "deny", ["127.0.0.0/8"]), whatever the file's own syntax.
	Value json.RawMessage `json:"value,omitempty"`
}
