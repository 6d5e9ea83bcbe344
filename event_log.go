package minewarden

// Record is one record of a log. Fields keep the order of the source; a name may occur more than once, as "type" of joined
// auditd records or the unnamed "Data" of a classic Windows event.
//
// Windows: Fields start with the System values EventID, Channel, Provider_Name and Computer, then the EventData or UserData
// values by their own names at top level. Nested JSON: names are paths joined by dots, as "objectRef.resource"; an element
// of a list has the name of its list. Web access logs: the W3C names c-ip, cs-method, cs-uri-stem, cs-uri-query, cs-uri,
// cs-host, cs-user-agent, cs-referer, cs-username (of Basic authorization, also where it failed), sc-status. Syslog and
// journald: "ident" holds the program's name, "pid" its process id. auditd: SYSCALL holds the name of the system call.
type Record struct {
	Source  string `json:"source"`            // evtx, journal, syslog, auditd, docker, kubernetes_audit, web, json
	Channel string `json:"channel,omitempty"` // Windows channel, syslog facility or unit
	Host    string `json:"host,omitempty"`
	Message string `json:"message,omitempty"` // the text, where the source has one

	// Product, Category and Service name the log source in Sigma's words, where the reader knows better than Source and
	// Channel tell: "okta", "", "okta" for a JSON file of that origin, or "", "webserver", "nginx".
	Product  string `json:"product,omitempty"`
	Category string `json:"category,omitempty"`
	Service  string `json:"service,omitempty"`

	Fields []Field `json:"fields,omitempty"`
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
