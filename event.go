package minewarden

import (
	"encoding/json"
	"fmt"
	"time"
)

// An Event is one thing a sensor saw. It is immutable once emitted: detectors share it.
type Event struct {
	Time    time.Time // when it happened
	Sensor  string    // who saw it; set by the pipeline
	Process *Process  // who did it; the sensor fills Key, the pipeline the rest, with ancestry; nil if unknown
	Data    Data      // what happened; never nil
	Matches []Match   // indicators that a value of Data met; set by the pipeline
	Country string    // of a Connect's remote end or a Flow's server, ISO 3166 as "DE"; set by the pipeline where a database is configured
}

// Data is what depends on the kind. The set is closed and in this package, all pointers to structs, so detectors switch on
// type and handing one on costs nothing.
type Data interface{ Kind() Kind }

// A Kind says which Data an event holds. Its name, such as "net.connect", is part of a file format: only add.
type Kind uint8

// The kinds. The types that carry them are in event_process.go, event_file.go, event_net.go and event_log.go.
const (
	KindLost Kind = iota + 1
	KindExec
	KindFork
	KindExit
	KindImage
	KindUsage
	KindHidden
	KindAccess
	KindTune
	KindProtect
	KindMemory
	KindRounding
	KindSample
	KindHostUsage
	KindWrite
	KindFile
	KindConnect
	KindFlow
	KindStream
	KindDNS
	KindTLS
	KindHTTP
	KindRecord
	KindSSH
	kindEnd
)

// NumKinds is one more than the largest Kind: the size of a table by kind.
const NumKinds = int(kindEnd)

var kinds = [NumKinds]struct {
	name string
	make func() Data
}{
	KindLost:      {"sensor.lost", func() Data { return new(Lost) }},
	KindExec:      {"process.exec", func() Data { return new(Exec) }},
	KindFork:      {"process.fork", func() Data { return new(Fork) }},
	KindExit:      {"process.exit", func() Data { return new(Exit) }},
	KindImage:     {"process.image", func() Data { return new(Image) }},
	KindUsage:     {"process.usage", func() Data { return new(Usage) }},
	KindHidden:    {"process.hidden", func() Data { return new(Hidden) }},
	KindAccess:    {"process.access", func() Data { return new(Access) }},
	KindTune:      {"process.tune", func() Data { return new(Tune) }},
	KindProtect:   {"memory.protect", func() Data { return new(Protect) }},
	KindMemory:    {"memory.map", func() Data { return new(Memory) }},
	KindRounding:  {"cpu.rounding", func() Data { return new(Rounding) }},
	KindSample:    {"cpu.sample", func() Data { return new(Sample) }},
	KindHostUsage: {"host.usage", func() Data { return new(HostUsage) }},
	KindWrite:     {"file.write", func() Data { return new(Write) }},
	KindFile:      {"file.content", func() Data { return new(File) }},
	KindConnect:   {"net.connect", func() Data { return new(Connect) }},
	KindFlow:      {"net.flow", func() Data { return new(Flow) }},
	KindStream:    {"net.stream", func() Data { return new(Stream) }},
	KindDNS:       {"net.dns", func() Data { return new(DNS) }},
	KindTLS:       {"net.tls", func() Data { return new(TLS) }},
	KindHTTP:      {"net.http", func() Data { return new(HTTP) }},
	KindRecord:    {"log.record", func() Data { return new(Record) }},
	KindSSH:       {"net.ssh", func() Data { return new(SSH) }},
}

// String returns the name used in recordings.
func (k Kind) String() string {
	if int(k) < NumKinds && kinds[k].name != "" {
		return kinds[k].name
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind reads what String writes.
func ParseKind(name string) (Kind, error) {
	for k := range kinds {
		if kinds[k].name == name && name != "" {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("unknown event kind %q", name)
}

// AllKinds returns every kind.
func AllKinds() []Kind {
	var all []Kind
	for k := Kind(1); k < kindEnd; k++ {
		all = append(all, k)
	}
	return all
}

// Lost says that the sensor, or the pipeline for it, missed N events: silence must never look like safety.
type Lost struct {
	N     uint64 `json:"n"`
	Where string `json:"where"` // "ring buffer", "queue"
}

// Kind implements Data.
func (*Lost) Kind() Kind { return KindLost }

// A Match is an indicator that a value of an event met.
type Match struct {
	Field     string    `json:"field"` // "remote", "name", "sni", "sha256"
	Indicator Indicator `json:"indicator"`
}

type eventJSON struct {
	Time    time.Time       `json:"time"`
	Sensor  string          `json:"sensor,omitempty"`
	Kind    string          `json:"kind"`
	Process *Process        `json:"process,omitempty"`
	Data    json.RawMessage `json:"data"`
	Matches []Match         `json:"matches,omitempty"`
	Country string          `json:"country,omitempty"`
}

// MarshalJSON writes one line of a recording.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Data == nil {
		return nil, fmt.Errorf("event of sensor %q at %s has no data", e.Sensor, e.Time)
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(eventJSON{e.Time, e.Sensor, e.Data.Kind().String(), e.Process, data, e.Matches, e.Country})
}

// UnmarshalJSON reads one line of a recording.
func (e *Event) UnmarshalJSON(line []byte) error {
	var in eventJSON
	if err := json.Unmarshal(line, &in); err != nil {
		return err
	}
	kind, err := ParseKind(in.Kind)
	if err != nil {
		return err
	}
	if len(in.Data) == 0 {
		return fmt.Errorf("event %s has no data", kind)
	}
	data := kinds[kind].make()
	if err := json.Unmarshal(in.Data, data); err != nil {
		return fmt.Errorf("data of %s: %w", kind, err)
	}
	*e = Event{in.Time, in.Sensor, in.Process, data, in.Matches, in.Country}
	return nil
}
