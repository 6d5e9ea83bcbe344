package logs

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func decode(t testing.TB, text string) []string {
	t.Helper()
	var out []string
	d := &Decoder{Now: func() time.Time { return now }}
	emit := func(at time.Time, r *minewarden.Record) {
		var b strings.Builder
		b.WriteString(at.Format(time.RFC3339Nano) + " " + r.Source)
		for _, v := range [...]string{r.Channel, r.Host, r.Product, r.Category, r.Service} {
			b.WriteString("|" + v)
		}
		b.WriteString("|" + r.Message + "|")
		for _, f := range r.Fields {
			b.WriteString(" " + f.Name + "=" + f.Value)
		}
		out = append(out, b.String())
	}
	for line := range strings.Lines(text) {
		if err := d.Line([]byte(line), emit); err != nil {
			out = append(out, "error: "+err.Error())
		}
	}
	d.Flush(emit)
	return out
}

func TestLines(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{
			"RFC 3164", `<38>Oct  1 22:14:15 web-1 sshd[77]: Failed password for root from 192.0.2.1 port 5 ssh2`,
			"2026-10-01T22:14:15Z syslog|auth|web-1||||Failed password for root from 192.0.2.1 port 5 ssh2| severity=info ident=sshd pid=77",
		},
		{"last year", `Dec 10 06:55:46 LabSZ sshd[24200]: Invalid user x`, "2025-12-10T06:55:46Z syslog||LabSZ||||Invalid user x| ident=sshd pid=24200"},
		{"days between", "Oct  1 01:02:03 h x: a\nOct  9 01:02:03 h x: b", "2026-10-01T01:02:03Z syslog||h||||a| ident=x\n2026-10-09T01:02:03Z syslog||h||||b| ident=x"},
		{"PAM", `May  4 11:17:42 niban su(pam_unix)[2298]: authentication failure`, "2026-05-04T11:17:42Z syslog||niban||||authentication failure| ident=su pid=2298"},
		{"repeated", `Oct  1 01:02:03 h sshd[1]: message repeated 3 times: [ Failed password for root]`, "2026-10-01T01:02:03Z syslog||h||||Failed password for root| ident=sshd pid=1 repeated=3"},
		{"ISO", `2020-05-31T02:00:45.698463+02:00 localhost systemd[1]: Started x.`, "2020-05-31T00:00:45.698463Z syslog||localhost||||Started x.| ident=systemd pid=1"},
		{
			"RFC 5424", `<165>1 2003-10-11T22:14:15.003Z host app 12 ID47 [a@1 x="1" y="q\"\]"][b z="2"] ` + "\ufeff" + `text`,
			`2003-10-11T22:14:15.003Z syslog|local4|host||||text| severity=notice ident=app pid=12 msgid=ID47 a@1.x=1 a@1.y=q"] b.z=2`,
		},
		{
			"combined", `192.0.2.7 - bob [10/Oct/2026:13:55:36 +0200] "GET /a?x=\x22%24{jndi:} HTTP/1.1" 404 12 "-" "curl \"8\""`,
			`2026-10-10T11:55:36Z web||||||192.0.2.7 - bob [10/Oct/2026:13:55:36 +0200] "GET /a?x=\x22%24{jndi:} HTTP/1.1" 404 12 "-" "curl \"8\""| c-ip=192.0.2.7 cs-username=bob cs-method=GET cs-uri=/a?x="%24{jndi:} cs-uri-stem=/a cs-uri-query=x="%24{jndi:} cs-version=HTTP/1.1 sc-status=404 sc-bytes=12 cs-user-agent=curl "8"`,
		},
		{"no HTTP", `192.0.2.7 - - [10/Oct/2026:13:55:36 +0000] "\x16\x03\x01" 400 0 "-" "-"`, `2026-10-10T13:55:36Z web||||||192.0.2.7 - - [10/Oct/2026:13:55:36 +0000] "\x16\x03\x01" 400 0 "-" "-"| c-ip=192.0.2.7 cs-uri=` + "\x16\x03\x01 cs-uri-stem=\x16\x03\x01 sc-status=400 sc-bytes=0"},
		{"apache error", `[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 7:tid 9] [client 192.0.2.9:53] File does not exist`, "2005-12-04T04:47:44.123456Z web|apache|||||File does not exist| level=error pid=7 c-ip=192.0.2.9"},
		{"nginx error", `2026/11/21 10:00:00 [error] 12#12: *1 open() failed, client: 192.0.2.8, server: x.org, request: "GET / HTTP/1.1"`, `2026-11-21T10:00:00Z web|nginx|||||*1 open() failed, client: 192.0.2.8, server: x.org, request: "GET / HTTP/1.1"| level=error pid=12 c-ip=192.0.2.8 cs-host=x.org request=GET / HTTP/1.1`},
		{"docker", `{"log":"Oct  1 01:02:03 h sshd[1]: hello\n","stream":"stderr","time":"2026-01-01T00:00:00.5Z"}`, "2025-10-01T01:02:03Z syslog||h||||hello| ident=sshd pid=1 stream=stderr"},
		{"docker parts", "{\"log\":\"one \",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n{\"log\":\"two\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:01Z\"}", "2026-01-01T00:00:00Z text||||||one two| stream=stdout"},
		{"CRI", "2026-01-01T00:00:00Z stdout P a\n2026-01-01T00:00:01Z stdout F b", "2026-01-01T00:00:00Z text||||||ab| stream=stdout"},
		{
			"Kubernetes", `{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"1","verb":"create","user":{"username":"u","groups":["a","b"]},"objectRef":{"resource":"pods"},"stageTimestamp":"2026-01-01T00:00:00Z"}`,
			"2026-01-01T00:00:00Z kubernetes_audit||||||| kind=Event apiVersion=audit.k8s.io/v1 auditID=1 verb=create user.username=u user.groups=a user.groups=b objectRef.resource=pods stageTimestamp=2026-01-01T00:00:00Z",
		},
		{
			"Winlogbeat", `{"@timestamp":"2026-01-01T00:00:00Z","winlog":{"event_id":4688,"channel":"Security","provider_name":"P","computer_name":"c","event_data":{"NewProcessName":"C:\\x.exe"}},"message":"m"}`,
			`2026-01-01T00:00:00Z evtx|Security|c||||m| EventID=4688 Channel=Security Provider_Name=P Computer=c NewProcessName=C:\x.exe`,
		},
		{
			"NXLog", `{"EventTime":"2019-03-18 23:23:37","Hostname":"h","EventID":1,"SourceName":"Microsoft-Windows-Sysmon","Channel":"S","Image":"C:\\a.exe"}`,
			`2019-03-18T23:23:37Z evtx|S|h||||| EventID=1 Channel=S Provider_Name=Microsoft-Windows-Sysmon Computer=h EventTime=2019-03-18 23:23:37 Image=C:\a.exe`,
		},
		{
			"evtx_dump", `{"Event":{"System":{"Provider":{"#attributes":{"Name":"P"}},"EventID":11,"TimeCreated":{"#attributes":{"SystemTime":"2025-10-24T23:36:29.1Z"}},"Channel":"C","Computer":"h"},"EventData":{"Image":"x"}}}`,
			"2025-10-24T23:36:29.1Z evtx|C|h||||| EventID=11 Channel=C Provider_Name=P Computer=h TimeCreated=2025-10-24T23:36:29.1Z Image=x",
		},
		{
			"XML", `<Event xmlns='http://x'><System><Provider Name='P'/><EventID>7</EventID><TimeCreated SystemTime='2026-01-01T00:00:00Z'/><Channel>C</Channel><Computer>h</Computer><Security UserID='S-1'/></System><EventData><Data Name='A'>1 &lt; 2</Data><Data>b</Data></EventData><RenderingInfo><Message>m</Message></RenderingInfo></Event>`,
			"2026-01-01T00:00:00Z evtx|C|h||||m| EventID=7 Channel=C Provider_Name=P Computer=h TimeCreated=2026-01-01T00:00:00Z UserID=S-1 A=1 < 2 Data=b",
		},
		{
			"auditd", "type=SYSCALL msg=audit(1481076992.414:385): arch=c000003e syscall=59 success=yes exe=\"/bin/sh\" key=(null)\ntype=EXECVE msg=audit(1481076992.414:385): argc=2 a0=\"sh\" a1=2D63206964\ntype=PROCTITLE msg=audit(1481076992.414:385): proctitle=7368002D63",
			"2016-12-07T02:16:32.414Z auditd||||||| serial=385 type=SYSCALL arch=c000003e syscall=59 success=yes exe=/bin/sh key=(null) SYSCALL=execve type=EXECVE argc=2 a0=sh a1=-c id type=PROCTITLE proctitle=sh -c",
		},
		{
			"auditd user", `type=USER_LOGIN msg=audit(1481076992.414:9): pid=1 msg='op=login acct="root" exe="/usr/sbin/sshd" addr=192.0.2.1 res=failed' UID="root"`,
			"2016-12-07T02:16:32.414Z auditd||||||| serial=9 type=USER_LOGIN pid=1 op=login acct=root exe=/usr/sbin/sshd addr=192.0.2.1 res=failed UID=root",
		},
		{
			"auditd interleaved", "type=SYSCALL msg=audit(1481076992.1:1): syscall=1\ntype=SYSCALL msg=audit(1481076992.2:2): syscall=2\ntype=CWD msg=audit(1481076992.1:1): cwd=\"/a\"\ntype=EOE msg=audit(1481076992.1:1):",
			"2016-12-07T02:16:32.1Z auditd||||||| serial=1 type=SYSCALL syscall=1 type=CWD cwd=/a\n2016-12-07T02:16:32.2Z auditd||||||| serial=2 type=SYSCALL syscall=2",
		},
		{"gitea", `2026/01/02 15:04:05 ...s/web/auth/auth.go:205:SignInPost() [W] Failed authentication attempt for x from 192.0.2.3:44`, "2026-01-02T15:04:05Z text|||||gitea|Failed authentication attempt for x from 192.0.2.3:44| level=W caller=...s/web/auth/auth.go:205:SignInPost() c-ip=192.0.2.3"},
		{"nomad", `2026-01-02T15:04:05.000Z [INFO]  client.driver_mgr.exec: starting task: driver=exec task_name="a b"`, `2026-01-02T15:04:05Z text|client.driver_mgr.exec||||nomad|client.driver_mgr.exec: starting task: driver=exec task_name="a b"| level=INFO module=client.driver_mgr.exec driver=exec task_name=a b`},
		{"any JSON", `{"ts":1700000000.25,"msg":"hi\u0041\ud83d\ude00","a":{"b":[1,{"c":true}]},"n":null}`, "2023-11-14T22:13:20.25Z json||||||hiA😀| ts=1700000000.25 msg=hiA😀 a.b=1 a.b.c=true"},
		{"broken JSON", `{"a":`, "error: JSON is wrong at byte 5"},
		{"no UTF-8", "Oct  1 01:02:03 h x: a\xffb", "2026-10-01T01:02:03Z syslog||h||||a\uFFFDb| ident=x"},
		{"no time", "hello", "2026-11-21T12:00:00Z text||||||hello|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, strings.Join(decode(t, tt.in), "\n")); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzLine(f *testing.F) {
	f.Add("<165>1 2003-10-11T22:14:15.003Z host app 12 ID47 [a@1 x=\"1\"] text")
	f.Add("type=SYSCALL msg=audit(1481076992.414:385): arch=c000003e syscall=59 saddr=020000507F000001\ntype=EXECVE msg=audit(1.4:3): a0=41")
	f.Add(`192.0.2.7 - bob [10/Oct/2026:13:55:36 +0200] "GET /a HTTP/1.1" 404 12 "-" "x"`)
	f.Add(`{"log":"{\"a\":1}\n","stream":"stderr","time":"2026-01-01T00:00:00.5Z"}`)
	f.Add(`{"Event":{"System":{"EventID":11}}}`)
	f.Add(`<Event><System><EventID>7</EventID></System></Event>`)
	f.Add("2026/01/02 15:04:05 a.go:1:x() [W] m from 192.0.2.3:44")
	f.Add("Oct  1 01:02:03 h sshd[1]: message repeated 3 times: [ x]")
	f.Add("[Sun Dec 04 04:47:44 2005] [error] [client 127.0.0.1] x")
	f.Fuzz(func(t *testing.T, in string) {
		decode(t, in)
		o := NewObjects(UTF8(strings.NewReader(in)))
		for {
			if _, _, err := o.Next(); err != nil {
				break
			}
		}
	})
}

func TestUTF16(t *testing.T) {
	in := []byte{0xff, 0xfe}
	for _, r := range "<a>é\n" {
		in = append(in, byte(r), byte(r>>8))
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(UTF8(bytes.NewReader(in))); err != nil || out.String() != "<a>é\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestEndlessLineIsCutAndCounted(t *testing.T) {
	lines := NewLines(strings.NewReader(strings.Repeat("x", 5*MaxLine) + "\nnext"))
	line, size, ended, cut, err := lines.Next()
	if len(line) != MaxLine || size != 5*MaxLine+1 || !ended || !cut || err != nil {
		t.Errorf("%d of %d bytes, %v %v %v", len(line), size, ended, cut, err)
	}
	line, _, ended, cut, err = lines.Next()
	if string(line) != "next" || ended || cut || err != nil {
		t.Errorf("%q %v %v %v", line, ended, cut, err)
	}
}
