package login

import (
	"strings"

	"github.com/minewarden/minewarden"
)

// windowsEvent reads SQL Server's logins, what OpenSSH for Windows says, and the Security log's logons: 4624 and 4625 of type 3 (network), 8 (clear text) and 10 (remote desktop), 4771
// (Kerberos), 4776 (NTLM) and 4648 (credentials given to a program).
func windowsEvent(r *minewarden.Record, a *attempt) bool {
	id, _ := r.Field("EventID")
	switch id {
	case "4624", "4625", "4648", "4771", "4776":
	case "18453", "18454", "18456":
		return databaseEvent(r, id, a)
	case "4":
		if strings.HasPrefix(r.Channel, "OpenSSH") {
			payload, _ := r.Field("payload")
			return sshLine(payload, a)
		}
		return false
	default:
		return false
	}
	if r.Channel != "" && !strings.EqualFold(r.Channel, "Security") {
		return false
	}
	var kind, ip, from, subject, status string
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Name {
		case "TargetUserName":
			a.user = f.Value
		case "LogonType":
			kind = f.Value
		case "IpAddress":
			ip = f.Value
		case "WorkstationName", "Workstation":
			from = f.Value
		case "SubjectUserName":
			subject = f.Value
		case "Status":
			status = f.Value
		}
	}
	if a.user == "" || a.user == "-" || strings.HasSuffix(a.user, "$") || a.user == "ANONYMOUS LOGON" {
		return false // machines and nobody: not guessed
	}
	a.n = 1
	known := a.setAddr(ip) && !a.addr.IsLoopback()
	if !known {
		a.addr = zeroAddr
	}
	switch id {
	case "4624", "4625":
		switch strings.TrimSuffix(strings.TrimPrefix(kind, "0x"), "L") {
		case "10", "7", "a":
			a.service = "rdp"
		case "3", "8":
			a.service = "windows"
		default:
			return false
		}
		a.out = failed
		if id == "4624" {
			a.out = accepted
		}
	case "4771":
		a.service, a.out = "kerberos", failed
		if !strings.EqualFold(strings.TrimPrefix(status, "0x"), "18") && status != "0x00000018" {
			return false // only this is a wrong password
		}
	case "4776":
		a.service, a.out = "ntlm", failed
		if strings.Trim(strings.TrimPrefix(status, "0x"), "0") == "" {
			a.out = accepted
		}
	case "4648":
		if subject == "" || strings.HasSuffix(subject, "$") || strings.EqualFold(subject, a.user) {
			return false
		}
		a.service, a.out, a.local, a.addr = "credentials", tried, subject, zeroAddr
		return true
	}
	if !known {
		if from == "" || from == "-" {
			return false
		}
		a.local = from
	}
	return true
}

// databaseEvent reads SQL Server's logins, whose values have no names: the account, for a failure the reason, and the client.
func databaseEvent(r *minewarden.Record, id string, a *attempt) bool {
	a.service, a.n, a.out = "mssql", 1, accepted
	if id == "18456" {
		a.out = failed
	}
	server := false
	for i := range r.Fields {
		switch f := &r.Fields[i]; f.Name {
		case "Provider_Name":
			server = strings.HasPrefix(f.Value, "MSSQL")
		case "Data":
			if a.user == "" {
				a.user = f.Value
			}
			if _, client, ok := strings.Cut(f.Value, "[CLIENT: "); ok {
				client, _, _ = strings.Cut(client, "]")
				a.setAddr(client)
			}
		}
	}
	return server && a.addr.IsValid()
}
