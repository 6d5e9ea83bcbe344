package alerts

import (
	"fmt"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/terminal"
)

// The versions of the schemas that events follow.
const (
	ocsfVersion = "1.3.0"
	ecsVersion  = "8.11.0"
)

// Encode writes an alert as one JSON object of a format of Formats.
func Encode(a *Alert, format, version string) ([]byte, error) {
	switch format {
	case "", "ocsf":
		return terminal.MarshalJSON(ocsf(a, version))
	case "ecs":
		return terminal.MarshalJSON(ecs(a, version))
	case "json":
		return terminal.MarshalJSON(a)
	}
	return nil, fmt.Errorf("no format %q", format)
}

// severityID are OCSF's numbers: 1 informational to 5 critical.
func severityID(s minewarden.Severity) int { return int(s) + 1 }

type object = map[string]any

// ocsf makes a Detection Finding (2004) of what a finding says, an Incident Finding (2005) of a change of state, and a Remediation
// Activity (7001) of an action.
func ocsf(a *Alert, version string) object {
	class, activity, name := 2005, 2, "Incident Finding"
	switch a.Kind {
	case Opened, Worse:
		if a.Finding != nil {
			class, name = 2004, "Detection Finding"
		}
		if a.Kind == Opened {
			activity = 1
		}
	case Closed:
		activity = 3
	case Done, Failed, Undone:
		class, activity, name = 7001, 99, "Remediation Activity"
	case Deadline, Health, Test:
		class, activity, name = 2004, 99, "Detection Finding"
	}
	category := class / 1000
	e := object{
		"metadata": object{
			"version": ocsfVersion, "uid": a.ID, "log_name": a.Kind,
			"product": object{"name": "minewarden", "vendor_name": "minewarden", "version": version},
		},
		"category_uid": category, "class_uid": class, "class_name": name, "activity_id": activity, "type_uid": class*100 + activity,
		"severity_id": severityID(a.Severity), "severity": title(a.Severity.String()), "time": a.Time.UnixMilli(), "message": a.Text,
		"device": object{"hostname": a.Host, "type_id": 1},
	}
	if a.Severity == minewarden.Informational {
		e["severity"] = "Informational"
	}
	if activity == 99 {
		e["activity_name"] = a.Kind
	}
	info := findingInfo(a)
	switch class {
	case 2004:
		e["finding_info"] = info
		e["status_id"] = status(a)
		if a.Finding != nil {
			e["confidence_score"] = int(100 * a.Finding.Confidence)
			e["evidences"] = evidences(a.Finding)
		}
	case 2005:
		e["finding_info_list"] = []object{info}
		e["status_id"] = status(a)
	case 7001:
		e["command_uid"] = a.Action.Action.ID
		e["status_id"], e["status"] = 1, "Success"
		if a.Kind == Failed {
			e["status_id"], e["status"] = 2, "Failure"
		}
		e["status_detail"] = a.Action.Result
		e["countermeasures"] = []object{}
		e["actor"] = object{"user": object{"name": a.Action.Who}}
		e["unmapped"] = object{"op": a.Action.Action.Op, "responder": a.Action.Action.Responder, "summary": a.Action.Action.Summary, "why": a.Action.Why}
		e["finding_info"] = info
	}
	if a.Incident != nil && a.Incident.Subject.Type == minewarden.SubjectProcess {
		e["process"] = object{"name": a.Incident.Subject.Name, "pid": a.Incident.Subject.PID, "uid": a.Incident.Subject.ID}
	}
	return e
}

// status is OCSF's of a finding: 1 new, 2 in progress, 4 resolved.
func status(a *Alert) int {
	if a.Incident == nil {
		return 1
	}
	switch a.Incident.State {
	case minewarden.Closed:
		return 4
	case minewarden.Contained:
		return 2
	}
	return 1
}

func findingInfo(a *Alert) object {
	info := object{"uid": a.ID, "title": a.Text}
	if a.Incident != nil {
		info["uid"] = a.Incident.ID
		info["first_seen_time"], info["last_seen_time"] = a.Incident.Opened.UnixMilli(), a.Incident.Updated.UnixMilli()
		info["types"] = a.Incident.Rules
		var attacks []object
		for _, t := range a.Incident.Technique {
			attacks = append(attacks, object{"technique": object{"uid": t}, "version": "16"})
		}
		if attacks != nil {
			info["attacks"] = attacks
		}
	}
	if a.Finding != nil {
		info["title"], info["desc"] = a.Finding.Title, a.Finding.Advice
		info["analytic"] = object{"uid": a.Finding.Rule, "name": a.Finding.Title, "type_id": 1}
	}
	return info
}

func evidences(f *minewarden.IncidentFinding) []object {
	data := object{}
	for _, e := range f.Evidence {
		data[e.Key] = e.Value
	}
	return []object{{"data": data}}
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// ecs makes an event of the Elastic Common Schema.
func ecs(a *Alert, version string) object {
	e := object{
		"@timestamp": a.Time.UTC().Format(time.RFC3339Nano), "message": a.Text, "ecs": object{"version": ecsVersion},
		"event": object{
			"kind": "alert", "category": []string{"malware"}, "type": []string{"info"}, "id": a.ID, "action": a.Kind, "severity": int(a.Severity),
			"module": "minewarden", "dataset": "minewarden.alert", "provider": "minewarden " + version,
		},
		"host":     object{"name": a.Host},
		"observer": object{"product": "minewarden", "vendor": "minewarden", "version": version},
	}
	custom := object{"severity": a.Severity.String()}
	if a.Incident != nil {
		custom["incident"] = a.Incident
		if a.Incident.Subject.Type == minewarden.SubjectProcess {
			e["process"] = object{"pid": a.Incident.Subject.PID, "name": a.Incident.Subject.Name, "entity_id": a.Incident.Subject.ID}
		}
		if len(a.Incident.Technique) > 0 {
			e["threat"] = object{"framework": "MITRE ATT&CK", "technique": object{"id": a.Incident.Technique}}
		}
	}
	if a.Finding != nil {
		e["rule"] = object{"id": a.Finding.Rule, "name": a.Finding.Title, "description": a.Finding.Advice}
		custom["confidence"], custom["evidence"] = a.Finding.Confidence, a.Finding.Evidence
	}
	if a.Action != nil {
		custom["action"] = a.Action
	}
	e["minewarden"] = custom
	return e
}
