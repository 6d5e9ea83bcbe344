package sigma

import (
	"net/netip"
	"strconv"

	"github.com/minewarden/minewarden"
)

// maxCommandLine is how much of a live process's arguments is joined, in bytes.
const maxCommandLine = 64 << 10

// wiring holds the numbers of the fields that live events fill; -1 where no rule wants one.
type wiring struct {
	image, commandLine, parentImage, parentCommandLine, user, cwd, pid, ppid, sha256                    int32
	dstIP, dstPort, srcIP, srcPort, protocol, initiated                                                 int32
	target, source, query, queryName, recordType, answer, method, host, uri, uriStem, uriQuery, message int32
	integrity, targetObject, eventType                                                                  int32
	hashes                                                                                              bool
	aliases                                                                                             map[string]map[int][]alias
}

type alias struct{ from, to int32 }

func (s *Set) wire() wiring {
	id := func(name string) int32 {
		if v, ok := s.fieldIDs[name]; ok {
			return v
		}
		return -1
	}
	w := wiring{
		image: id("Image"), commandLine: id("CommandLine"), parentImage: id("ParentImage"),
		parentCommandLine: id("ParentCommandLine"), user: id("User"), cwd: id("CurrentDirectory"), pid: id("ProcessId"),
		ppid: id("ParentProcessId"), sha256: id("sha256"),
		dstIP: id("DestinationIp"), dstPort: id("DestinationPort"), srcIP: id("SourceIp"), srcPort: id("SourcePort"),
		protocol: id("Protocol"), initiated: id("Initiated"),
		target: id("TargetFilename"), source: id("SourceFilename"), query: id("query"), queryName: id("QueryName"),
		recordType: id("record_type"), answer: id("answer"), method: id("cs-method"), host: id("cs-host"), uri: id("c-uri"),
		uriStem: id("cs-uri-stem"), uriQuery: id("cs-uri-query"), message: id("message"),
		integrity: id("IntegrityLevel"), targetObject: id("TargetObject"), eventType: id("EventType"),
		aliases: map[string]map[int][]alias{},
	}
	for _, spellings := range hashNames {
		for _, name := range spellings {
			w.hashes = w.hashes || id(name) >= 0
		}
	}
	for service, byID := range aliases {
		w.aliases[service] = map[int][]alias{}
		for event, pairs := range byID {
			for _, p := range pairs {
				if to := id(p[1]); to >= 0 {
					w.aliases[service][event] = append(w.aliases[service][event], alias{s.field(p[0]), to})
				}
			}
		}
	}
	return w
}

// load fills the matcher from an event. It returns false for events that no rule is about.
func (m *Matcher) load(ev *minewarden.Event) bool {
	m.reset()
	w := &m.set.wired
	m.src.product = "linux"
	switch d := ev.Data.(type) {
	case *minewarden.Record:
		m.loadRecord(d)
	case *minewarden.Exec:
		m.loadExec(ev, d)
	case *minewarden.Connect:
		m.src.categories[0] = "network_connection"
		m.loadProcess(ev.Process)
		m.addAddr(w.dstIP, w.dstPort, d.Remote)
		m.addAddr(w.srcIP, w.srcPort, d.Local)
		m.add(w.protocol, d.Proto)
		m.add(w.initiated, "true")
	case *minewarden.Write:
		m.loadWrite(ev, d)
	case *minewarden.DNS:
		if d.Response {
			return false // the question was matched
		}
		m.src = origin{product: "linux", categories: [3]string{"dns", "dns_query"}}
		m.loadProcess(ev.Process)
		m.add(w.query, d.Name)
		m.add(w.queryName, d.Name)
		m.add(w.recordType, d.Type)
	case *minewarden.HTTP:
		if d.Method == "" {
			return false
		}
		m.src = origin{categories: [3]string{"webserver", "proxy"}}
		m.add(w.method, d.Method)
		m.add(w.host, d.Host)
		m.add(w.uri, d.Path)
		stem, query := d.Path, ""
		for i := range d.Path {
			if d.Path[i] == '?' {
				stem, query = d.Path[:i], d.Path[i+1:]
				break
			}
		}
		m.add(w.uriStem, stem)
		m.addNew(w.uriQuery, query)
	default:
		return false
	}
	return true
}

func (m *Matcher) loadExec(ev *minewarden.Event, d *minewarden.Exec) {
	w := &m.set.wired
	m.src.categories[0] = "process_creation"
	image := d.Exe
	if image == "" {
		image = d.Filename
	}
	m.addNew(w.image, image)
	m.addArgs(w.commandLine, d.Args)
	m.addNew(w.cwd, d.Cwd)
	m.addUser(d.UID)
	if p := ev.Process; p != nil {
		m.addNumber(w.pid, uint64(p.Key.PID))
		m.addNew(w.sha256, p.SHA256)
		if parent := p.Parent; parent != nil {
			m.addNew(w.parentImage, parent.Exe)
			m.addArgs(w.parentCommandLine, parent.Args)
		}
	}
	m.addNumber(w.ppid, uint64(d.Parent.PID))
	m.addNew(w.parentImage, d.ParentName)
}

// loadProcess fills the fields of who did it.
func (m *Matcher) loadProcess(p *minewarden.Process) {
	if p == nil {
		return
	}
	w := &m.set.wired
	m.addNew(w.image, p.Exe)
	m.addArgs(w.commandLine, p.Args)
	m.addUser(p.UID)
	m.addNumber(w.pid, uint64(p.Key.PID))
	if p.Parent != nil {
		m.addNew(w.parentImage, p.Parent.Exe)
	}
}

func (m *Matcher) loadWrite(ev *minewarden.Event, d *minewarden.Write) {
	w := &m.set.wired
	m.src.categories[0] = "file_event"
	path := d.Path
	switch d.Op {
	case "delete":
		m.src.categories[0] = "file_delete"
	case "rename":
		m.src.categories[1] = "file_rename"
		if d.To != "" {
			m.add(w.source, d.Path)
			path = d.To
		}
	}
	m.add(w.target, path)
	m.loadProcess(ev.Process)
}

func (m *Matcher) addArgs(field int32, args []string) {
	if field < 0 || len(args) == 0 || m.head(field) >= 0 {
		return
	}
	if len(args) == 1 {
		m.add(field, args[0])
		return
	}
	start := len(m.arena)
	for i, a := range args {
		if i > 0 {
			m.arena = append(m.arena, ' ')
		}
		if m.arena = append(m.arena, a...); len(m.arena)-start > maxCommandLine {
			break
		}
	}
	m.add(field, m.text(start))
}

func (m *Matcher) addUser(uid uint32) {
	if uid == 0 {
		m.addNew(m.set.wired.user, "root")
		return
	}
	m.addNumber(m.set.wired.user, uint64(uid))
}

func (m *Matcher) addNumber(field int32, v uint64) {
	if field < 0 || m.head(field) >= 0 {
		return
	}
	start := len(m.arena)
	m.arena = strconv.AppendUint(m.arena, v, 10)
	m.add(field, m.text(start))
}

func (m *Matcher) addAddr(ip, port int32, addr netip.AddrPort) {
	if !addr.IsValid() {
		return
	}
	if ip >= 0 {
		start := len(m.arena)
		m.arena = addr.Addr().Unmap().AppendTo(m.arena)
		m.add(ip, m.text(start))
	}
	m.addNumber(port, uint64(addr.Port()))
}
