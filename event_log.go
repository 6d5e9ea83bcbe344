package minewarden

// Record is one record of a log. Fields keep the order of the source; a name may occur more than once.
type Record struct {
	Source  string  `json:"source"`            // evtx, journal, syslog, auditd, docker, kubernetes_audit, web, json
	Channel string  `json:"channel,omitempty"` // Windows channel, syslog facility or unit
	Host    string  `json:"host,omitempty"`
	Message string  `json:"message,omitempty"` // the text, where the source has one
	Fields  []Field `json:"fields,omitempty"`
}

// A Field is one named value of a record.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Kind implements Data.
func (*Record) Kind() Kind { return KindRecord }

// Field returns the first value of that name.
func (r *Record) Field(name string) (string, bool) {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			return r.Fields[i].Value, true
		}
	}
	return "", false
}
