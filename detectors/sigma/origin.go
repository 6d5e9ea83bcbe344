package sigma

import (
	"slices"
	"strconv"
	"strings"

	"github.com/minewarden/minewarden"
)

// An origin is where an event comes from, in Sigma's words. An event may be of several categories and services: Sysmon's
// event 12 is a registry_add and a registry_event.
type origin struct {
	product    string
	categories [3]string
	services   [3]string
}

func (o *origin) fits(l Logsource) bool {
	return (l.Product == "" || l.Product == o.product) &&
		(l.Category == "" || slices.Contains(o.categories[:], l.Category)) &&
		(l.Service == "" || slices.Contains(o.services[:], l.Service))
}

// clone copies texts that may lie in the matcher's arena.
func (o *origin) clone() origin {
	c := origin{product: strings.Clone(o.product)}
	for i := range o.categories {
		c.categories[i], c.services[i] = strings.Clone(o.categories[i]), strings.Clone(o.services[i])
	}
	return c
}

// channels gives the Sigma service of a Windows channel, folded.
var channels = map[string]string{
	"application":                          "application",
	"security":                             "security",
	"system":                               "system",
	"forwardedevents":                      "",
	"microsoft-windows-sysmon/operational": "sysmon",
	"microsoft-windows-powershell/operational":                           "powershell",
	"powershellcore/operational":                                         "powershell",
	"windows powershell":                                                 "powershell-classic",
	"microsoft-windows-windows defender/operational":                     "windefend",
	"microsoft-windows-sense/operational":                                "sense",
	"microsoft-windows-appxdeploymentserver/operational":                 "appxdeployment-server",
	"microsoft-windows-appxpackaging/operational":                        "appxpackaging-om",
	"microsoft-windows-appmodel-runtime/admin":                           "appmodel-runtime",
	"microsoft-windows-codeintegrity/operational":                        "codeintegrity-operational",
	"microsoft-windows-windows firewall with advanced security/firewall": "firewall-as",
	"msexchange management":                                              "msexchange-management",
	"microsoft-servicebus-client":                                        "microsoft-servicebus-client",
	"microsoft-windows-bits-client/operational":                          "bits-client",
	"microsoft-windows-dns client events/operational":                    "dns-client",
	"dns server":                                                               "dns-server",
	"microsoft-windows-dns-server/audit":                                       "dns-server-audit",
	"microsoft-windows-dnsserver/audit":                                        "dns-server-audit",
	"microsoft-windows-dns-server/analytical":                                  "dns-server-analytic",
	"microsoft-windows-dnsserver/analytical":                                   "dns-server-analytic",
	"microsoft-windows-driverframeworks-usermode/operational":                  "driver-framework",
	"microsoft-windows-ntlm/operational":                                       "ntlm",
	"dhcp-server":                                                              "dhcp",
	"microsoft-windows-dhcp-server/operational":                                "dhcp",
	"microsoft-windows-applocker/msi and script":                               "applocker",
	"microsoft-windows-applocker/exe and dll":                                  "applocker",
	"microsoft-windows-applocker/packaged app-deployment":                      "applocker",
	"microsoft-windows-applocker/packaged app-execution":                       "applocker",
	"microsoft-windows-printservice/admin":                                     "printservice-admin",
	"microsoft-windows-printservice/operational":                               "printservice-operational",
	"microsoft-windows-terminalservices-localsessionmanager/operational":       "terminalservices-localsessionmanager",
	"microsoft-windows-smbclient/security":                                     "smbclient-security",
	"microsoft-windows-smbclient/connectivity":                                 "smbclient-connectivity",
	"microsoft-windows-smbserver/connectivity":                                 "smbserver-connectivity",
	"microsoft-windows-taskscheduler/operational":                              "taskscheduler",
	"microsoft-windows-wmi-activity/operational":                               "wmi",
	"microsoft-windows-security-mitigations/kernel mode":                       "security-mitigations",
	"microsoft-windows-security-mitigations/user mode":                         "security-mitigations",
	"microsoft-windows-ldap-client/debug":                                      "ldap",
	"microsoft-windows-diagnosis-scripted/operational":                         "diagnosis-scripted",
	"microsoft-windows-shell-core/operational":                                 "shell-core",
	"microsoft-windows-lsa/operational":                                        "lsa-server",
	"openssh/operational":                                                      "openssh",
	"microsoft-windows-capi2/operational":                                      "capi2",
	"microsoft-windows-certificateservicesclient-lifecycle-system/operational": "certificateservicesclient-lifecycle-system",
	"microsoft-windows-hyper-v-worker":                                         "hyper-v-worker",
	"microsoft-windows-kernel-eventtracing":                                    "kernel-event-tracing",
	"microsoft-windows-kernel-shimengine/operational":                          "kernel-shimengine",
	"microsoft-windows-vhdmp/operational":                                      "vhdmp",
	"microsoft-iis-configuration/operational":                                  "iis-configuration",
	"microsoft-windows-iis-configuration/operational":                          "iis-configuration",
	"microsoft-windows-kernel-file/analytic":                                   "kernel-file",
	"microsoft-windows-windows defender/whc":                                   "windefend",
	"microsoft-windows-terminalservices-remoteconnectionmanager/operational":   "terminalservices-remoteconnectionmanager",
}

// sysmon gives the categories of Sysmon's event ids. Those of 12 and 14 depend on the event.
var sysmon = map[int][3]string{
	1: {"process_creation"}, 2: {"file_change"}, 3: {"network_connection"}, 4: {"sysmon_status"}, 5: {"process_termination"},
	6: {"driver_load"}, 7: {"image_load"}, 8: {"create_remote_thread"}, 9: {"raw_access_thread"}, 10: {"process_access"},
	11: {"file_event"}, 12: {"registry_event", "registry_add"}, 13: {"registry_event", "registry_set"},
	14: {"registry_event", "registry_rename"}, 15: {"create_stream_hash"}, 16: {"sysmon_status"}, 17: {"pipe_created"},
	18: {"pipe_created"}, 19: {"wmi_event"}, 20: {"wmi_event"}, 21: {"wmi_event"}, 22: {"dns_query"}, 23: {"file_delete"},
	24: {"clipboard_capture"}, 25: {"process_tampering"}, 26: {"file_delete"}, 27: {"file_block_executable", "file_block"},
	28: {"file_block_shredding", "file_block"}, 29: {"file_executable_detected"}, 255: {"sysmon_error"},
}

// otherIDs gives the categories of events of other channels.
var otherIDs = map[string]map[int][3]string{
	"security": {
		4688: {"process_creation"}, 4689: {"process_termination"}, 4657: {"registry_event", "registry_set"},
		5156: {"network_connection"}, 4663: {"file_access"},
	},
	"powershell":         {4103: {"ps_module"}, 4104: {"ps_script"}},
	"powershell-classic": {400: {"ps_classic_start"}, 600: {"ps_classic_provider_start"}, 800: {"ps_classic_script"}},
	"kernel-file":        {12: {"file_access"}, 19: {"file_rename"}, 26: {"file_delete"}, 27: {"file_rename"}, 30: {"file_event"}},
	"windefend": {
		1006: {"antivirus"}, 1007: {"antivirus"}, 1008: {"antivirus"}, 1009: {"antivirus"}, 1010: {"antivirus"}, 1011: {"antivirus"},
		1012: {"antivirus"}, 1017: {"antivirus"}, 1018: {"antivirus"}, 1019: {"antivirus"}, 1115: {"antivirus"}, 1116: {"antivirus"},
		1117: {"antivirus"},
	},
}

// aliases gives, by service and event id, the names that the rules of its category use for fields of Windows' own events.
var aliases = map[string]map[int][][2]string{
	"security": {
		4688: {
			{"NewProcessName", "Image"},
			{"ParentProcessName", "ParentImage"},
			{"SubjectLogonId", "LogonId"},
			{"NewProcessId", "ProcessId"},
			{"ProcessId", "ParentProcessId"},
		},
		4689: {{"ProcessName", "Image"}},
		4657: {{"ProcessName", "Image"}, {"NewValue", "Details"}},
		4663: {{"ProcessName", "Image"}, {"ObjectName", "FileName"}},
		5156: {
			{"Application", "Image"}, {"DestAddress", "DestinationIp"}, {"DestPort", "DestinationPort"}, {"SourceAddress", "SourceIp"},
		},
	},
	"windefend": {1116: {{"Threat Name", "Signature"}, {"Path", "Filename"}}, 1117: {{"Threat Name", "Signature"}, {"Path", "Filename"}}},
}

// services gives the Sigma services of a syslog program.
var services = map[string][2]string{
	"sshd": {"sshd", "auth"}, "sshd-session": {"sshd", "auth"}, "sudo": {"sudo", "auth"}, "su": {"auth"}, "login": {"auth"},
	"systemd-logind": {"auth"}, "polkitd": {"auth"}, "pkexec": {"auth"}, "useradd": {"auth"}, "usermod": {"auth"}, "groupadd": {"auth"},
	"passwd": {"auth"}, "cron": {"cron"}, "crond": {"cron"}, "crontab": {"cron"}, "atd": {"cron"}, "anacron": {"cron"},
	"clamd": {"clamav"}, "clamav": {"clamav"}, "freshclam": {"clamav"}, "vsftpd": {"vsftpd"}, "guacd": {"guacamole"}, "guacamole": {"guacamole"},
}

// record fills the matcher from a record of a log.
func (m *Matcher) loadRecord(r *minewarden.Record) {
	m.record = r
	m.src = origin{product: r.Product, categories: [3]string{r.Category}, services: [3]string{r.Service}}
	for i := range r.Fields {
		if id, ok := m.set.fieldIDs[r.Fields[i].Name]; ok && id != anyField {
			m.add(id, r.Fields[i].Value)
		}
	}
	switch r.Source {
	case "evtx":
		m.loadWindows(r)
	case "journal", "syslog":
		m.loadSyslog(r)
	case "auditd":
		m.loadAudit(r)
	case "web":
		m.setOrigin("", "webserver", m.foldText(r.Channel))
	case "kubernetes_audit":
		m.setOrigin("kubernetes", "application", "audit")
	case "docker":
		m.setOrigin("docker", "application", "daemon")
	}
	if m.set.wired.message >= 0 && r.Message != "" && m.head(m.set.wired.message) < 0 {
		m.add(m.set.wired.message, r.Message)
	}
}

// setOrigin names the source where the reader did not.
func (m *Matcher) setOrigin(product, category, service string) {
	if m.src.product == "" {
		m.src.product = product
	}
	if m.src.categories[0] == "" {
		m.src.categories[0] = category
	}
	if m.src.services[0] == "" {
		m.src.services[0] = service
	}
}

func (m *Matcher) foldText(s string) string {
	if !needsFold(s) {
		return s
	}
	start := len(m.arena)
	m.arena = appendFold(m.arena, s)
	return m.text(start)
}

func (m *Matcher) loadWindows(r *minewarden.Record) {
	m.src.product = "windows"
	channel := r.Channel
	if channel == "" {
		channel, _ = r.Field("Channel")
	}
	service, known := channels[m.foldText(channel)]
	if !known || service == "" {
		provider, _ := r.Field("Provider_Name")
		if provider == "Microsoft-Windows-Sysmon" { // forwarded, or from a renamed channel
			service = "sysmon"
		}
	}
	m.setOrigin("windows", "", service)
	text, _ := r.Field("EventID")
	id, err := strconv.Atoi(text)
	if err != nil {
		return // without a number no category fits; the rules of the service still do
	}
	if service == "sysmon" {
		m.src.categories = sysmon[id]
		if id == 12 {
			if kind, _ := r.Field("EventType"); strings.HasPrefix(kind, "Delete") {
				m.src.categories[1] = "registry_delete"
			}
		}
	} else if categories, ok := otherIDs[service][id]; ok {
		m.src.categories = categories
	}
	w := &m.set.wired
	for _, a := range w.aliases[service][id] {
		if m.head(a.to) >= 0 {
			continue
		}
		if v, ok := m.get(a.from); ok {
			m.add(a.to, v)
		}
	}
	switch {
	case service == "security":
		m.completeSecurity(r, id)
	case w.hashes && service == "sysmon":
		m.splitHashes(r)
	}
}

// completeSecurity makes the values that Sysmon's rules expect out of several of the Security log.
func (m *Matcher) completeSecurity(r *minewarden.Record, id int) {
	w := &m.set.wired
	switch id {
	case 4688:
		if w.user >= 0 && m.head(w.user) < 0 {
			domain, _ := r.Field("SubjectDomainName")
			name, ok := r.Field("SubjectUserName")
			if ok {
				m.add(w.user, m.join(domain, `\`, name))
			}
		}
		if label, ok := r.Field("MandatoryLabel"); ok && w.integrity >= 0 && m.head(w.integrity) < 0 {
			m.add(w.integrity, integrityLevel(label))
		}
	case 4657:
		object, ok := r.Field("ObjectName")
		if ok && w.targetObject >= 0 {
			if rest, machine := strings.CutPrefix(object, `\REGISTRY\MACHINE\`); machine {
				object = m.join(`HKLM\`, rest, "")
			} else if rest, user := strings.CutPrefix(object, `\REGISTRY\USER\`); user {
				object = m.join(`HKU\`, rest, "")
			}
			name, _ := r.Field("ObjectValueName")
			m.add(w.targetObject, m.join(object, `\`, name))
		}
		if w.eventType >= 0 {
			m.add(w.eventType, "SetValue")
		}
	case 5156:
		if direction, ok := r.Field("Direction"); ok && w.initiated >= 0 {
			m.add(w.initiated, strconv.FormatBool(direction == "%%14593" || strings.EqualFold(direction, "outbound")))
		}
	}
}

func integrityLevel(sid string) string {
	switch strings.TrimPrefix(sid, "S-1-16-") {
	case "4096":
		return "Low"
	case "8192":
		return "Medium"
	case "8448":
		return "Medium Plus"
	case "12288":
		return "High"
	case "16384":
		return "System"
	default:
		return sid
	}
}

func (m *Matcher) join(a, b, c string) string {
	start := len(m.arena)
	m.arena = append(append(append(m.arena, a...), b...), c...)
	return m.text(start)
}

// splitHashes gives the parts of Sysmon's "SHA256=…,IMPHASH=…" fields of their own.
func (m *Matcher) splitHashes(r *minewarden.Record) {
	all, ok := r.Field("Hashes")
	if !ok {
		all, ok = r.Field("Hash")
	}
	for part := range strings.SplitSeq(all, ",") {
		name, value, found := strings.Cut(part, "=")
		if !ok || !found {
			continue
		}
		for _, spelling := range hashNames[name] {
			if id, wanted := m.set.fieldIDs[spelling]; wanted && m.head(id) < 0 {
				m.add(id, value)
			}
		}
	}
}

var hashNames = map[string][]string{
	"MD5": {"md5", "MD5", "Md5"}, "SHA1": {"sha1", "SHA1", "Sha1"}, "SHA256": {"sha256", "SHA256", "Sha256"},
	"IMPHASH": {"Imphash", "imphash", "IMPHASH"},
}

func (m *Matcher) loadSyslog(r *minewarden.Record) {
	m.setOrigin("linux", "", "")
	program := ""
	for _, name := range [...]string{"ident", "SYSLOG_IDENTIFIER", "program", "appname", "_COMM"} {
		if v, ok := r.Field(name); ok {
			program = v
			break
		}
	}
	found := services[m.foldText(program)]
	if found[0] == "" && (r.Channel == "auth" || r.Channel == "authpriv") {
		found[0] = "auth"
	}
	if m.src.services[0] == "" {
		m.src.services = [3]string{"syslog", found[0], found[1]}
	} else {
		m.src.services[1], m.src.services[2] = found[0], found[1]
	}
}

// loadAudit reads a joined event of auditd. One that ran a program is a process_creation as well.
func (m *Matcher) loadAudit(r *minewarden.Record) {
	m.setOrigin("linux", "", "auditd")
	w := &m.set.wired
	part, exe, cwd, user := "", "", "", ""
	start, ran := len(m.arena), false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Name == "type":
			part = f.Value
		case f.Name == "exe":
			exe = f.Value
		case f.Name == "cwd":
			cwd = f.Value
		case f.Name == "uid" || f.Name == "UID":
			user = userName(f.Value)
		case part == "EXECVE" && len(f.Name) > 1 && f.Name[0] == 'a' && f.Name[1] >= '0' && f.Name[1] <= '9':
			if ran {
				m.arena = append(m.arena, ' ')
			}
			ran = true
			m.arena = append(m.arena, f.Value...)
		}
	}
	if !ran {
		return
	}
	if m.src.categories[0] == "" {
		m.src.categories[0] = "process_creation"
	}
	m.addNew(w.commandLine, m.text(start))
	m.addNew(w.image, exe)
	m.addNew(w.cwd, cwd)
	m.addNew(w.user, user)
}

func userName(uid string) string {
	if uid == "0" {
		return "root"
	}
	return uid
}

// addNew adds a value that the event does not have yet.
func (m *Matcher) addNew(field int32, v string) {
	if v != "" && m.head(field) < 0 {
		m.add(field, v)
	}
}
