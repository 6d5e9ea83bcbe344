package logs

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
)

// systemNames gives the names of Windows' System values in the ways in which shippers and tools write them.
var systemNames = map[string]string{
	// Winlogbeat 7 and later
	"winlog.event_id": "EventID", "winlog.channel": "Channel", "winlog.provider_name": "Provider_Name", "winlog.computer_name": "Computer",
	"winlog.record_id": "EventRecordID", "winlog.provider_guid": "Provider_Guid", "winlog.task": "Task", "winlog.opcode": "Opcode",
	"winlog.version": "Version", "winlog.keywords": "Keywords", "winlog.process.pid": "Execution_ProcessID",
	"winlog.process.thread.id": "Execution_ThreadID", "winlog.user.identifier": "UserID", "winlog.activity_id": "Correlation_ActivityID",
	// Winlogbeat 6
	"event_id": "EventID", "log_name": "Channel", "source_name": "Provider_Name", "computer_name": "Computer", "record_number": "EventRecordID",
	"provider_guid": "Provider_Guid", "process_id": "Execution_ProcessID", "thread_id": "Execution_ThreadID", "user.identifier": "UserID",
	// evtx_dump
	"Event.System.EventID": "EventID", "Event.System.EventID.#text": "EventID", "Event.System.Channel": "Channel",
	"Event.System.Provider.#attributes.Name": "Provider_Name", "Event.System.Provider_attributes.Name": "Provider_Name",
	"Event.System.Provider.Name": "Provider_Name", "Event.System.Computer": "Computer", "Event.System.EventRecordID": "EventRecordID",
	"Event.System.Provider.#attributes.Guid": "Provider_Guid", "Event.System.Provider_attributes.Guid": "Provider_Guid",
	"Event.System.TimeCreated.#attributes.SystemTime": "TimeCreated", "Event.System.TimeCreated_attributes.SystemTime": "TimeCreated",
	"Event.System.TimeCreated.SystemTime": "TimeCreated", "Event.System.Execution.#attributes.ProcessID": "Execution_ProcessID",
	"Event.System.Execution.#attributes.ThreadID": "Execution_ThreadID", "Event.System.Security.#attributes.UserID": "UserID",
	"Event.System.Execution_attributes.ProcessID": "Execution_ProcessID", "Event.System.Execution_attributes.ThreadID": "Execution_ThreadID",
	"Event.System.Security_attributes.UserID": "UserID",
}

// flatNames are those of NXLog, whose other values keep their names.
var flatNames = map[string]string{
	"SourceName": "Provider_Name", "Hostname": "Computer", "RecordNumber": "EventRecordID", "ProviderGuid": "Provider_Guid",
	"ExecutionProcessID": "Execution_ProcessID", "ExecutionThreadID": "Execution_ThreadID", "OpcodeValue": "Opcode",
}

// windowsJSON makes a record of a Windows event from its JSON; false: it is none.
func (d *Decoder) windowsJSON(in []minewarden.Field) (time.Time, *minewarden.Record, bool) {
	shape := windowsShape(in)
	if shape == "" {
		return time.Time{}, nil, false
	}
	var first [4]minewarden.Field
	rest := make([]minewarden.Field, 0, len(in))
	rec := &minewarden.Record{Source: "evtx"}
	when, created := "", ""
	for _, f := range in {
		name := ""
		switch shape {
		case "flat":
			if name = flatNames[f.Name]; name == "" {
				name = f.Name
			}
		default:
			if name = systemNames[f.Name]; name == "" {
				name = eventName(f.Name)
			}
		}
		switch name {
		case "":
			switch f.Name {
			case "message", "Message":
				rec.Message = f.Value
			case "@timestamp", "timestamp", "event.created":
				if when == "" || f.Name == "@timestamp" {
					when = f.Value
				}
			}
		case "EventID":
			first[0] = minewarden.Field{Name: name, Value: f.Value}
		case "Channel":
			first[1] = minewarden.Field{Name: name, Value: f.Value}
			rec.Channel = f.Value
		case "Provider_Name":
			first[2] = minewarden.Field{Name: name, Value: f.Value}
		case "Computer":
			first[3] = minewarden.Field{Name: name, Value: f.Value}
			rec.Host = f.Value
		case "TimeCreated", "EventTime", "@timestamp":
			if created == "" || name == "TimeCreated" {
				created = f.Value
			}
			rest = append(rest, minewarden.Field{Name: name, Value: f.Value})
		case "Message", "message":
			rec.Message = f.Value
		default:
			rest = append(rest, minewarden.Field{Name: name, Value: f.Value})
		}
	}
	for _, f := range first {
		if f.Name != "" {
			rec.Fields = append(rec.Fields, f)
		}
	}
	rec.Fields = append(rec.Fields, rest...)
	for _, s := range [...]string{created, when} {
		if t, ok := parseTime(s, d.Location); ok {
			return t, rec, true
		}
	}
	return d.now(), rec, true
}

// windowsShape says who wrote the JSON, "" when it is no Windows event.
func windowsShape(in []minewarden.Field) string {
	var id, channel, source bool
	for _, f := range in {
		switch {
		case strings.HasPrefix(f.Name, "Event.System."):
			return "dump"
		case f.Name == "winlog.event_id" || f.Name == "winlog.channel":
			return "winlogbeat"
		case f.Name == "log_name" || strings.HasPrefix(f.Name, "event_data."):
			return "winlogbeat"
		case f.Name == "EventID":
			id = true
		case f.Name == "Channel":
			channel = true
		case f.Name == "SourceName" || f.Name == "ProviderGuid" || f.Name == "Provider_Name":
			source = true
		}
	}
	if id && (channel || source) {
		return "flat"
	}
	return ""
}

// eventName gives the name of a value of EventData or UserData; "" for what the shipper added.
func eventName(path string) string {
	for _, prefix := range [...]string{"winlog.event_data.", "event_data.", "Event.EventData."} {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			if name == "Data.#text" || strings.HasPrefix(name, "#attributes") {
				return strings.TrimSuffix(name, ".#text")
			}
			return name
		}
	}
	for _, prefix := range [...]string{"winlog.user_data.", "user_data.", "Event.UserData."} {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			return name[strings.LastIndexByte(name, '.')+1:]
		}
	}
	return ""
}

// EventXML reads one event as Windows writes it: <Event>…</Event>.
func EventXML(b []byte) (time.Time, *minewarden.Record, error) {
	dec := xml.NewDecoder(bytes.NewReader(b))
	dec.Strict = false
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	rec := &minewarden.Record{Source: "evtx"}
	var when time.Time
	var first [4]minewarden.Field
	var rest []minewarden.Field
	add := func(name, v string) {
		switch name {
		case "EventID":
			first[0] = minewarden.Field{Name: name, Value: v}
		case "Channel":
			first[1], rec.Channel = minewarden.Field{Name: name, Value: v}, v
		case "Provider_Name":
			first[2] = minewarden.Field{Name: name, Value: v}
		case "Computer":
			first[3], rec.Host = minewarden.Field{Name: name, Value: v}, v
		default:
			rest = append(rest, minewarden.Field{Name: name, Value: v})
		}
	}
	type element struct {
		name, title string
		text        []byte
		children    bool
	}
	var path []element
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return when, nil, fmt.Errorf("event XML: %w", err)
		}
		if len(rest) > MaxFields || len(path) > maxJSONDepth {
			return when, nil, errors.New("event XML: it holds too much")
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if len(path) > 0 {
				path[len(path)-1].children = true
			}
			e := element{name: tok.Name.Local, title: tok.Name.Local}
			section := ""
			if len(path) > 1 {
				section = path[1].name
			}
			for _, a := range tok.Attr {
				name := e.name + "_" + a.Name.Local
				switch {
				case a.Name.Space == "xmlns" || a.Name.Local == "xmlns" || section == "" || section == "RenderingInfo":
					continue
				case section == "EventData" && len(path) == 2 && a.Name.Local == "Name":
					if a.Value != "" {
						e.title = a.Value
					}
					continue
				case section == "System" && e.name == "TimeCreated":
					name = "TimeCreated"
					if t, ok := parseTime(a.Value, time.UTC); ok {
						when = t
					}
				case section == "System" && e.name == "Security":
					name = a.Name.Local
				}
				add(name, a.Value)
			}
			path = append(path, e)
		case xml.CharData:
			if len(path) > 0 {
				path[len(path)-1].text = append(path[len(path)-1].text, tok...)
			}
		case xml.EndElement:
			if len(path) == 0 {
				continue
			}
			e := path[len(path)-1]
			path = path[:len(path)-1]
			if e.children || len(path) < 2 {
				continue
			}
			v := string(e.text)
			switch section := path[1].name; {
			case section == "System" && v == "":
			case section == "RenderingInfo" && e.name == "Message":
				rec.Message = v
			case section == "RenderingInfo":
				add("RenderingInfo_"+e.name, v)
			default:
				add(e.title, v)
			}
		}
	}
	for _, f := range first {
		if f.Name != "" {
			rec.Fields = append(rec.Fields, f)
		}
	}
	rec.Fields = append(rec.Fields, rest...)
	if len(rec.Fields) == 0 {
		return when, nil, errors.New("event XML: it holds no values")
	}
	return when, rec, nil
}
