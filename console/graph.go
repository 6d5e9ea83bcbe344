package console

import (
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
)

// maxNodes bounds a graph: beyond it nobody sees anything.
const maxNodes = 400

// A Graph is who started what, and what it touched.
type Graph struct {
	Nodes []Node `json:"nodes" nullable:"false"`
	Edges []Edge `json:"edges" nullable:"false"`
	More  int    `json:"more,omitempty" doc:"nodes left out"`
}

// A Node is a process, a container, a file, a flow.
type Node struct {
	ID       string              `json:"id"`
	Kind     string              `json:"kind" enum:"process,container,file,flow,url,host,service,account"`
	Label    string              `json:"label"`
	Detail   string              `json:"detail,omitempty"`
	Severity minewarden.Severity `json:"severity,omitempty"`
	Member   bool                `json:"member" doc:"responders act on it"`
	Ended    bool                `json:"ended,omitempty"`
}

// An Edge leads from who did to whom it was done.
type Edge struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Label string `json:"label"`
}

type grapher struct {
	g    Graph
	node map[string]int
	edge map[Edge]bool
}

// GraphOf draws an incident.
func GraphOf(inc *minewarden.Incident) Graph {
	d := &grapher{g: Graph{Nodes: []Node{}, Edges: []Edge{}}, node: map[string]int{}, edge: map[Edge]bool{}}
	byPID := map[int32]string{}
	for _, m := range inc.Members {
		id := m.Key.String()
		byPID[m.Key.PID] = id
		d.add(Node{ID: id, Kind: "process", Label: m.Name, Detail: memberDetail(m), Severity: m.Severity, Member: true, Ended: !m.Exited.IsZero()})
	}
	for _, m := range inc.Members {
		id := m.Key.String()
		if m.Parent.PID != 0 {
			d.add(Node{ID: m.Parent.String(), Kind: "process", Label: "pid " + strconv.Itoa(int(m.Parent.PID))})
			d.link(m.Parent.String(), id, "started")
		}
		if m.Container.ID != "" {
			d.add(Node{ID: "container " + m.Container.ID, Kind: "container", Label: m.Container.Runtime + " " + m.Container.ID[:min(12, len(m.Container.ID))]})
			d.link("container "+m.Container.ID, id, "runs")
		}
	}
	for i := range inc.Findings {
		d.finding(inc, &inc.Findings[i], byPID)
	}
	return d.g
}

func (d *grapher) finding(inc *minewarden.Incident, f *minewarden.IncidentFinding, byPID map[int32]string) {
	subject := f.Subject
	if subject.Type == minewarden.SubjectProcess {
		d.add(Node{ID: subject.ID, Kind: "process", Label: subject.Name, Severity: f.Severity})
		d.ancestors(subject.ID, f.Lineage)
		return
	}
	id := subject.Type + " " + subject.ID
	n := Node{ID: id, Kind: subject.Type, Label: subject.Name, Severity: f.Severity, Detail: subject.ID}
	label := "did"
	switch subject.Type {
	case minewarden.SubjectFlow:
		n.Label, label = subject.Server, "talked to"
	case minewarden.SubjectFile:
		label = "has to do with"
	}
	if n.Label == "" {
		n.Label = subject.ID
	}
	d.add(n)
	from := byPID[subject.PID]
	if from == "" && inc.Subject.Type == minewarden.SubjectProcess {
		from = inc.Subject.ID
	}
	if _, ok := d.node[from]; ok && from != id {
		d.link(from, id, label)
	}
}

// ancestors draws who started a process, by the names that its lineage has. Of those no key is known: the path of names is.
func (d *grapher) ancestors(id, lineage string) {
	names := strings.Split(lineage, " > ")
	if lineage == "" || len(names) < 2 {
		return
	}
	for _, e := range d.g.Edges {
		if e.To == id && e.Label == "started" {
			return // its parent is known
		}
	}
	to := id
	for i := len(names) - 2; i >= 0 && i >= len(names)-9; i-- {
		up := "lineage " + strings.Join(names[:i+1], " > ")
		d.add(Node{ID: up, Kind: "process", Label: names[i]})
		d.link(up, to, "started")
		to = up
	}
}

func (d *grapher) add(n Node) {
	if i, ok := d.node[n.ID]; ok {
		d.g.Nodes[i].Severity = max(d.g.Nodes[i].Severity, n.Severity)
		return
	}
	if len(d.g.Nodes) >= maxNodes {
		d.g.More++
		return
	}
	d.node[n.ID] = len(d.g.Nodes)
	d.g.Nodes = append(d.g.Nodes, n)
}

func (d *grapher) link(from, to, label string) {
	_, a := d.node[from]
	_, b := d.node[to]
	e := Edge{from, to, label}
	if a && b && !d.edge[e] {
		d.edge[e] = true
		d.g.Edges = append(d.g.Edges, e)
	}
}
