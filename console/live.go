package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/console/access"
)

// Live is what the agent sees of this host now.
type Live interface {
	Host() Host
	Processes(limit int) []LiveProcess // by CPU, the most first
	Connections(limit int) []Connection
	Sensors() Sensors
}

// A Host is a machine that an agent watches.
type Host struct {
	Name    string    `json:"name"`
	This    bool      `json:"this" doc:"the one that serves this"`
	OS      string    `json:"os,omitempty"`
	Kernel  string    `json:"kernel,omitempty"`
	Arch    string    `json:"arch,omitempty"`
	CPUs    int       `json:"cpus"`
	Booted  time.Time `json:"booted,omitzero"`
	Since   time.Time `json:"since,omitzero" doc:"since when the agent watches"`
	Version string    `json:"version,omitempty"`
	Busy    []float64 `json:"busy" nullable:"false" doc:"share of all CPUs that was busy, 0 to 1, oldest first, one a look"`
}

// A LiveProcess is a process as it was last seen, with what speaks for mining.
type LiveProcess struct {
	Key       minewarden.ProcessKey `json:"key"`
	ID        string                `json:"id" doc:"as a subject of findings has it"`
	Name      string                `json:"name"`
	Exe       string                `json:"exe,omitempty"`
	Args      []string              `json:"args" nullable:"false"`
	UID       uint32                `json:"uid"`
	Lineage   string                `json:"lineage,omitempty"`
	Package   string                `json:"package,omitempty"`
	SHA256    string                `json:"sha256,omitempty"`
	Container minewarden.Container  `json:"container,omitzero"`
	Started   time.Time             `json:"started,omitzero"`
	Seen      time.Time             `json:"seen"`
	CPU       float64               `json:"cpu" doc:"CPUs used at the last look: 1.5 is one and a half"`
	CPUTotal  float64               `json:"cpu_seconds" doc:"since the agent first saw it"`
	RSS       uint64                `json:"rss"`
	Tasks     int                   `json:"tasks"`
	Nice      int8                  `json:"nice,omitempty"`
	GPU       float64               `json:"gpu,omitempty" doc:"share of a GPU's engine at the last look"`
	Work      *WorkEvidence         `json:"work,omitempty" doc:"absent: nothing that speaks for proof of work was measured"`
	Incident  string                `json:"incident,omitempty" doc:"that it belongs to"`
}

// WorkEvidence is what was measured that speaks for proof of work, as raw figures.
type WorkEvidence struct {
	Near     uint64   `json:"near" doc:"reads of the rounding mode that found it to nearest"`
	Down     uint64   `json:"down"`
	Up       uint64   `json:"up"`
	Zero     uint64   `json:"zero"`
	Samples  int      `json:"samples" doc:"pieces of code that were taken while it ran"`
	Anon     int      `json:"anon_samples" doc:"of these, in generated code that lies in no file"`
	AnonExec uint64   `json:"anon_exec" doc:"bytes of generated code"`
	Huge     uint64   `json:"huge" doc:"bytes on huge pages"`
	Regions  []uint64 `json:"regions" nullable:"false" doc:"sizes of its largest memory regions"`
	WX       uint32   `json:"wx" doc:"changes between written and executable"`
	Tuned    []string `json:"tuned" nullable:"false" doc:"what it asked of the kernel that miners ask for"`
}

// A Connection is a conversation that a process of this host had.
type Connection struct {
	Proto    string                `json:"proto"`
	Local    string                `json:"local,omitempty"`
	Remote   string                `json:"remote"`
	Name     string                `json:"name,omitempty" doc:"by which the remote was asked for"`
	Process  string                `json:"process,omitempty"`
	Key      minewarden.ProcessKey `json:"key,omitzero"`
	Result   string                `json:"result,omitempty"`
	App      string                `json:"app,omitempty" doc:"protocol, as the bytes tell"`
	Out      uint64                `json:"out" doc:"bytes that the client sent"`
	In       uint64                `json:"in" doc:"bytes that the server sent"`
	First    time.Time             `json:"first"`
	Last     time.Time             `json:"last"`
	Matches  []string              `json:"matches" nullable:"false" doc:"indicators that it met"`
	Incident string                `json:"incident,omitempty"`
}

// Sensors say who watches, and what was lost.
type Sensors struct {
	Items     []SensorHealth   `json:"items" nullable:"false"`
	Detectors []DetectorHealth `json:"detectors" nullable:"false"`
	Lost      LostEvents       `json:"lost"`
	Store     StoreHealth      `json:"store"`
	Host      string           `json:"host"`
}

// SensorHealth is how one sensor does.
type SensorHealth struct {
	Name    string `json:"name"`
	State   string `json:"state" enum:"running,waiting,unsupported"`
	Reason  string `json:"reason,omitempty"`
	Events  uint64 `json:"events"`
	Dropped uint64 `json:"dropped"`
}

// DetectorHealth is how one detector does.
type DetectorHealth struct {
	Name     string `json:"name"`
	Findings uint64 `json:"findings"`
	Off      string `json:"off,omitempty" doc:"why it was switched off"`
}

// LostEvents are how many events no detector saw.
type LostEvents struct {
	Events uint64 `json:"events" doc:"lost"`
	Total  uint64 `json:"total" doc:"seen"`
}

// StoreHealth says whether incidents are saved.
type StoreHealth struct {
	Incidents  int    `json:"incidents" doc:"in memory"`
	Unsaved    int    `json:"unsaved"`
	Suppressed uint64 `json:"suppressed" doc:"findings that a suppression took"`
	Error      string `json:"error,omitempty"`
}

func (s *Server) live() {
	if s.o.Live == nil && !s.all {
		return
	}
	read := func(path, id, summary string) huma.Operation {
		return operation(access.Viewer, http.MethodGet, path, id, summary)
	}
	type top struct {
		Limit int `query:"limit" minimum:"1" maximum:"500" default:"50"`
	}
	huma.Register(s.api, read("/hosts", "hosts", "Machines that are watched"), func(context.Context, *struct{}) (*answer[list[Host]], error) {
		return ok(items([]Host{s.o.Live.Host()}), nil)
	})
	huma.Register(s.api, read("/hosts/this/processes", "processes", "Processes by CPU, with what speaks for proof of work"), func(_ context.Context, in *top) (*answer[list[LiveProcess]], error) {
		return ok(items(s.o.Live.Processes(in.Limit)), nil)
	})
	huma.Register(s.api, read("/hosts/this/connections", "connections", "Conversations, the last first"), func(_ context.Context, in *top) (*answer[list[Connection]], error) {
		return ok(items(s.o.Live.Connections(in.Limit)), nil)
	})
	huma.Register(s.api, read("/sensors", "sensors", "Who watches, and what was lost"), func(context.Context, *struct{}) (*answer[Sensors], error) {
		return ok(s.o.Live.Sensors(), nil)
	})
}
