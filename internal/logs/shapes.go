package logs

import (
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// A Mapping gives fields of JSON the names that rules use, and names the log source.
type Mapping struct {
	Rename   map[string]string `yaml:"rename"`   // from the path in the JSON to the name of the field
	Time     string            `yaml:"time"`     // the path of the time; empty: the usual names
	Message  string            `yaml:"message"`  // the path of the text; empty: the usual names
	Host     string            `yaml:"host"`     // the path of the host's name
	Product  string            `yaml:"product"`  // log source, as Sigma names it
	Category string            `yaml:"category"` // log source
	Service  string            `yaml:"service"`  // log source
}

func get(fields []minewarden.Field, names ...string) string {
	for _, n := range names {
		for i := range fields {
			if fields[i].Name == n {
				return fields[i].Value
			}
		}
	}
	return ""
}

// json takes a line that holds a JSON object.
func (d *Decoder) json(line string, emit emitter) error {
	fields, err := d.flat.flatten(line)
	if err != nil {
		return err
	}
	if d.flat.cut {
		defer d.fault("a JSON object with more than %d values", MaxFields)
	}
	m := d.Mapping
	if m == nil {
		if len(fields) <= 4 && d.container(fields, emit) {
			return nil
		}
		if t, rec, ok := d.windowsJSON(fields); ok {
			emit(t, rec)
			return nil
		}
		m = &Mapping{}
	}
	rec := &minewarden.Record{Source: "json", Product: m.Product, Category: m.Category, Service: m.Service, Fields: fields}
	times := []string{m.Time}
	if m.Time == "" {
		times = []string{
			"@timestamp", "timestamp", "time", "ts", "@time", "date", "eventTime", "created_at", "receiveTimestamp", "published", "datetime",
		}
	}
	if d.Mapping == nil {
		switch {
		case get(fields, "auditID") != "" && strings.HasPrefix(get(fields, "apiVersion"), "audit.k8s.io/"):
			rec.Source = "kubernetes_audit"
			times = []string{"stageTimestamp", "requestReceivedTimestamp"}
		case get(fields, "__REALTIME_TIMESTAMP") != "":
			rec.Source = "journal"
			times = []string{"_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"}
			rec.Host, rec.Channel = get(fields, "_HOSTNAME"), get(fields, "_SYSTEMD_UNIT")
			if ident := get(fields, "SYSLOG_IDENTIFIER", "_COMM"); ident != "" {
				rec.Fields = append(rec.Fields, minewarden.Field{Name: "ident", Value: ident})
			}
		case get(fields, "Action") != "" && get(fields, "Type") != "" && get(fields, "Actor.ID") != "" || get(fields, "timeNano") != "" && get(fields, "status") != "":
			rec.Source = "docker"
			times = []string{"timeNano", "time"}
		case get(fields, "eventSource") != "" && get(fields, "awsRegion") != "":
			rec.Product, rec.Service = "aws", "cloudtrail"
		case strings.Contains(get(fields, "logName"), "cloudaudit.googleapis.com"):
			rec.Product, rec.Service = "gcp", "gcp.audit"
		case get(fields, "@module") != "": // Nomad, Consul and their kin
			rec.Channel = get(fields, "@module")
			rec.Service = hashicorp(rec.Channel)
		case get(fields, "payload.request.endpoint") != "" && get(fields, "event_type") == "audit":
			rec.Service = "nomad"
		}
	}
	for i := range rec.Fields {
		if to, ok := m.Rename[rec.Fields[i].Name]; ok {
			rec.Fields[i].Name = to
		}
	}
	if m.Message != "" {
		rec.Message = get(fields, m.Message)
	} else {
		rec.Message = get(fields, "message", "msg", "MESSAGE", "@message", "log", "text")
	}
	if m.Host != "" {
		rec.Host = get(fields, m.Host)
	} else if rec.Host == "" {
		rec.Host = get(fields, "host", "hostname", "host.name")
	}
	emit(d.firstTime(fields, times), rec)
	return nil
}

func (d *Decoder) firstTime(fields []minewarden.Field, names []string) time.Time {
	for _, n := range names {
		if t, ok := parseTime(get(fields, n), d.Location); ok {
			return t
		}
	}
	return d.now()
}

// hashicorp tells the product by the part of the program that speaks.
func hashicorp(module string) string {
	first, _, _ := strings.Cut(module, ".")
	switch first {
	case "nomad", "client", "worker", "core", "http", "driver_mgr", "plugin_loader":
		return "nomad"
	case "agent", "consul":
		if strings.HasPrefix(module, "agent.") || first == "consul" {
			return "consul"
		}
	}
	return ""
}

// container takes a line of Docker's json-file driver: what a container wrote, read as the log that it is. Docker cuts lines
// at 16 KiB: they are joined again.
func (d *Decoder) container(fields []minewarden.Field, emit emitter) bool {
	stream, text := get(fields, "stream"), ""
	has := false
	for _, f := range fields {
		if f.Name == "log" {
			text, has = f.Value, true
		}
	}
	if !has || stream != "stdout" && stream != "stderr" {
		return false
	}
	t, ok := parseTime(get(fields, "time"), time.UTC)
	if !ok {
		t = d.now()
	}
	whole := strings.HasSuffix(text, "\n")
	d.containerLine(t, stream, strings.TrimRight(text, "\r\n"), whole, emit)
	return true
}

// cri takes a line of the Kubernetes container runtimes: time, stream, F or P, text.
func (d *Decoder) cri(t time.Time, rest string, emit emitter) bool {
	stream, after, ok := strings.Cut(rest, " ")
	if !ok || stream != "stdout" && stream != "stderr" {
		return false
	}
	tag, text, _ := strings.Cut(after, " ")
	if tag != "F" && tag != "P" {
		return false
	}
	d.containerLine(t, stream, text, tag == "F", emit)
	return true
}

func (d *Decoder) containerLine(t time.Time, stream, text string, whole bool, emit emitter) {
	i := 0
	if stream == "stderr" {
		i = 1
	}
	p := &d.partial[i]
	if len(p.text)+len(text) > MaxLine {
		d.fault("a line of a container is longer than %d KiB and was cut", MaxLine>>10)
		text = text[:max(MaxLine-len(p.text), 0)]
	}
	if !whole {
		if p.text == nil {
			p.when = t
		}
		p.text = append(p.text, text...)
		return
	}
	if p.text != nil {
		text, t = string(append(p.text, text...)), p.when
		*p = partial{}
	}
	d.inContainer(t, stream, text, emit)
}

// inContainer reads what a program in a container wrote. Its own time counts where it has one.
func (d *Decoder) inContainer(t time.Time, stream, text string, emit emitter) {
	mark := func(when time.Time, rec *minewarden.Record) {
		rec.Fields = append(rec.Fields, minewarden.Field{Name: "stream", Value: stream})
		emit(when, rec)
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	if !d.nested {
		d.nested = true
		saved := d.last
		d.last = t
		defer func() { d.nested, d.last = false, saved }()
		if err := d.line(text, mark); err == nil {
			return
		}
		// It only looked like something.
	}
	mark(t, &minewarden.Record{Source: "text", Message: text})
}
