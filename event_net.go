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

// A FlowKey names both ends of a conversation, the client first: who sent the SYN or, where that was not seen, the end that the
// ports make the likelier client, or else who sent first. The key of a flow never changes once its first event was emitted.
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

// The states of a Flow event.
const (
	FlowOpen   = "open"   // the first packet
	FlowUpdate = "update" // with a packet at least a minute after the flow's last event
	FlowEnd    = "end"    // the last event of the flow: Ended says why
)

// MaxMessages bounds Flow.Messages.
const MaxMessages = 128

// Flow is the state of a conversation, reported when it opens, about every minute in which it had packets, and when it ends.
// A UDP flow, or a TCP flow that carried nothing, may be reported only when it opens and ends. Counts are since its start.
type Flow struct {
	Key           FlowKey   `json:"key"`
	State         string    `json:"state"`            // open, update, end
	Ended         string    `json:"ended,omitempty"`  // with end: fin, rst, idle, evicted (the table was full), stop (the capture ended)
	Start         time.Time `json:"start"`            // of the first packet seen
	Last          time.Time `json:"last,omitzero"`    // of the last packet seen
	Joined        bool      `json:"joined,omitempty"` // TCP whose opening was not seen: who is client is a guess
	App           string    `json:"app,omitempty"`    // as the bytes tell: tls, quic, http, websocket, ssh, dns, socks, json, text; empty: not known
	ClientPackets uint64    `json:"client_packets"`
	ServerPackets uint64    `json:"server_packets"`
	ClientBytes   uint64    `json:"client_bytes"` // payload of TCP or UDP as on the wire, with retransmissions
	ServerBytes   uint64    `json:"server_bytes"`
	// Messages are those since the flow's event before this one, oldest first, at most MaxMessages; More is how many came after
	// the list was full. TCP flows have them, but for HTTP.
	Messages []Message `json:"messages,omitempty"`
	More     uint32    `json:"more,omitempty"`
}

// Kind implements Data.
func (*Flow) Kind() Kind { return KindFlow }

// A Message is one unit that an end of a TCP flow sent: in TLS one record of application data, else the payload of successive
// segments of one end with less than 10 ms between them.
type Message struct {
	At         time.Duration `json:"at"` // after Flow.Start: when its first byte was seen
	FromClient bool          `json:"from_client,omitempty"`
	Size       uint32        `json:"size"` // bytes; of a TLS record without its header of 5
}

// What bytes came in, for Stream, HTTP and TLS.
const (
	CarrierTCP       = "tcp"       // plainly
	CarrierHTTPBody  = "http-body" // body of a request or response, without chunk heads and compression
	CarrierWebSocket = "websocket" // payload of text and binary frames, unmasked
	CarrierSOCKS     = "socks"     // behind a SOCKS 4, 4a or 5 request; Target is what was asked for
	CarrierConnect   = "connect"   // behind an HTTP CONNECT request; Target is what was asked for
)

// Stream is what one side sent, in order, without gaps within one event, each byte at most once. Only what may be mining is
// streamed: the first 512 bytes of each direction of protocols that are not known; the first 4 KiB of text and 64 KiB of JSON, and all of
// it when words of mining were seen in the flow; bodies of HTTP that are JSON or not declared, to 64 KiB each. Nothing of TLS, SSH
// and DNS. One event holds at most 64 KiB. Data must be copied when it is kept.
type Stream struct {
	Key        FlowKey `json:"key"`
	Carrier    string  `json:"carrier,omitempty"`
	Target     string  `json:"target,omitempty"` // host:port asked of a proxy
	FromClient bool    `json:"from_client"`
	// Offset is the bytes of this direction before Data: of TCP since the first byte seen, of a body or frame carrier since the
	// carrier began, counting every body of the direction.
	Offset uint64 `json:"offset"`
	Gap    bool   `json:"gap,omitempty"`    // bytes before Data are missing: the capture lost them, or the limit cut them
	Joined bool   `json:"joined,omitempty"` // the flow's opening was not seen: Data at Offset 0 may begin within a message
	Begin  bool   `json:"begin,omitempty"`  // Data begins a body or a WebSocket message
	Data   []byte `json:"data"`
}

// Kind implements Data.
func (*Stream) Kind() Kind { return KindStream }

// DNS is one message over UDP or TCP, also of mDNS (port 5353) and LLMNR (port 5355).
type DNS struct {
	Key       FlowKey      `json:"key"`
	ID        uint16       `json:"id,omitempty"`
	Response  bool         `json:"response,omitempty"`
	Name      string       `json:"name"`            // normal form: lower case, no trailing dot, bytes beyond ASCII print as \DDD; at most 1 KiB
	Type      string       `json:"type"`            // A, AAAA, TXT, …; TYPE123 where it has no name here
	Code      string       `json:"code,omitempty"`  // of a response: NOERROR, NXDOMAIN, …; RCODE12 where it has no name here
	Addrs     []netip.Addr `json:"addrs,omitempty"` // of A and AAAA answers, at most 32
	Names     []string     `json:"names,omitempty"` // CNAME, NS, PTR, MX, SRV targets in the answer section, normal form, at most 16
	TTL       uint32       `json:"ttl,omitempty"`   // smallest of the answers, seconds
	Answers   uint16       `json:"answers,omitempty"`
	TextBytes uint32       `json:"text_bytes,omitempty"` // data in TXT and NULL answers
	Size      uint16       `json:"size,omitempty"`       // of the message, bytes
}

// Kind implements Data.
func (*DNS) Kind() Kind { return KindDNS }

// TLS is what can be seen of a handshake: one event for the client's hello and one for the server's answer, the latter when
// the certificate was seen or cannot be seen any more (TLS 1.3, resumption). What the client said is repeated in the latter.
type TLS struct {
	Key     FlowKey `json:"key"`
	Carrier string  `json:"carrier,omitempty"` // tcp, socks, connect; empty with QUIC
	Target  string  `json:"target,omitempty"`  // host:port asked of a proxy
	Server  bool    `json:"server,omitempty"`  // the server's answer
	QUIC    bool    `json:"quic,omitempty"`
	Version string  `json:"version,omitempty"` // ssl3, 1.0, 1.1, 1.2, 1.3: the highest offered, or with Server the one chosen
	SNI     string  `json:"sni,omitempty"`     // normal form as DNS.Name
	// ALPN is what was offered, at most 16; with Server the one chosen, where that is visible.
	ALPN   []string     `json:"alpn,omitempty"`
	JA3    string       `json:"ja3,omitempty"`    // of the client, MD5 in hex
	JA3S   string       `json:"ja3s,omitempty"`   // of the server, with Server
	JA4    string       `json:"ja4,omitempty"`    // of the client
	Cipher uint16       `json:"cipher,omitempty"` // chosen, with Server
	Cert   *Certificate `json:"cert,omitempty"`   // the server's own, with Server; nil: not visible
}

// Kind implements Data.
func (*TLS) Kind() Kind { return KindTLS }

// A Certificate is what an X.509 certificate says of itself; nothing of it was verified.
type Certificate struct {
	Subject    string    `json:"subject,omitempty"` // as "CN=a,O=b", at most 512 bytes
	Issuer     string    `json:"issuer,omitempty"`
	CommonName string    `json:"common_name,omitempty"` // of the subject
	Names      []string  `json:"names,omitempty"`       // DNS names, at most 16
	NotBefore  time.Time `json:"not_before,omitzero"`
	NotAfter   time.Time `json:"not_after,omitzero"`
	SelfSigned bool      `json:"self_signed,omitempty"` // issuer and subject are the same
	SHA256     string    `json:"sha256,omitempty"`      // of its DER, hex
}

// HTTP is one request or response head of HTTP/1.
type HTTP struct {
	Key         FlowKey `json:"key"`
	Carrier     string  `json:"carrier,omitempty"` // tcp, socks, connect
	Target      string  `json:"target,omitempty"`  // host:port asked of a proxy
	Response    bool    `json:"response,omitempty"`
	Method      string  `json:"method,omitempty"` // of a request
	Host        string  `json:"host,omitempty"`   // of a request, as sent
	Path        string  `json:"path,omitempty"`   // of a request: with query, as sent, at most 2 KiB
	Status      int     `json:"status,omitempty"` // of a response
	Agent       string  `json:"agent,omitempty"`  // User-Agent, or Server of a response; at most 512 bytes
	ContentType string  `json:"content_type,omitempty"`
	Length      int64   `json:"length,omitempty"`  // Content-Length; -1: the body has no stated length
	Upgrade     string  `json:"upgrade,omitempty"` // lower case
	User        string  `json:"user,omitempty"`    // of Basic authorization, without the password
	// Head is the head as sent, at most 8 KiB. It must be copied when it is kept.
	Head []byte `json:"head,omitempty"`
}

// Kind implements Data.
func (*HTTP) Kind() Kind { return KindHTTP }

// SSH is the first line that an end of an SSH connection sent.
type SSH struct {
	Key    FlowKey `json:"key"`
	Server bool    `json:"server,omitempty"`
	Banner string  `json:"banner"` // "SSH-2.0-OpenSSH_9.6", at most 255 bytes
}

// Kind implements Data.
func (*SSH) Kind() Kind { return KindSSH }
