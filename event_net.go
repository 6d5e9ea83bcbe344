package minewarden

import (
	"net/netip"
	"time"
)

// Connect says that the event's process opened, or tried to open, a connection.
type Connect struct {
	Proto  string         `json:"proto"` // tcp, udp
	Local  netip.AddrPort `json:"local,omitzero"`
	Remote netip.AddrPort `json:"remote"`
	Result string         `json:"result,omitempty"` // "ok" or the errno's name, as "ECONNREFUSED"; empty: not known yet
	Socket uint64         `json:"socket,omitempty"` // cookie
}

// Kind implements Data.
func (*Connect) Kind() Kind { return KindConnect }

// A FlowKey names both ends of a conversation, the client (who sent first, or SYN) first.
type FlowKey struct {
	Proto  string         `json:"proto"` // tcp, udp
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
}

// String returns "tcp CLIENT > SERVER", the subject id of the flow.
func (k FlowKey) String() string {
	return k.Proto + " " + k.Client.String() + " > " + k.Server.String()
}

// FlowSubject names a flow as the subject of a finding.
func FlowSubject(k FlowKey) Subject {
	return Subject{Type: SubjectFlow, ID: k.String(), Client: k.Client.String(), Server: k.Server.String()}
}

// Flow is the state of a conversation, reported when it opens, about every minute, and when it ends.
type Flow struct {
	Key           FlowKey   `json:"key"`
	State         string    `json:"state"` // open, update, end
	Start         time.Time `json:"start"`
	ClientPackets uint64    `json:"client_packets"`
	ServerPackets uint64    `json:"server_packets"`
	ClientBytes   uint64    `json:"client_bytes"` // payload
	ServerBytes   uint64    `json:"server_bytes"`
}

// Kind implements Data.
func (*Flow) Kind() Kind { return KindFlow }

// Stream is what one side sent, in order, without gaps within one event.
type Stream struct {
	Key        FlowKey `json:"key"`
	FromClient bool    `json:"from_client"`
	Offset     uint64  `json:"offset"`        // bytes of this direction before Data
	Gap        bool    `json:"gap,omitempty"` // bytes before Data are missing
	Data       []byte  `json:"data"`
}

// Kind implements Data.
func (*Stream) Kind() Kind { return KindStream }

// DNS is one message.
type DNS struct {
	Key      FlowKey      `json:"key"`
	Response bool         `json:"response,omitempty"`
	Name     string       `json:"name"`           // normal form: lower case, no trailing dot
	Type     string       `json:"type"`           // A, AAAA, TXT, …
	Code     string       `json:"code,omitempty"` // NOERROR, NXDOMAIN, …
	Addrs    []netip.Addr `json:"addrs,omitempty"`
	Names    []string     `json:"names,omitempty"` // CNAME targets
}

// Kind implements Data.
func (*DNS) Kind() Kind { return KindDNS }

// TLS is what can be seen of a handshake.
type TLS struct {
	Key FlowKey `json:"key"`
	SNI string  `json:"sni,omitempty"`
}

// Kind implements Data.
func (*TLS) Kind() Kind { return KindTLS }

// HTTP is one request or response head.
type HTTP struct {
	Key    FlowKey `json:"key"`
	Method string  `json:"method,omitempty"`
	Host   string  `json:"host,omitempty"`
	Path   string  `json:"path,omitempty"`
}

// Kind implements Data.
func (*HTTP) Kind() Kind { return KindHTTP }
