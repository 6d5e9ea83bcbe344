package app

import (
	"strings"
	"testing"

	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
)

func TestSettingsOfModules(t *testing.T) {
	cfg, err := config.Parse([]byte(`listen: 127.0.0.1:9443
responders:
  process:
    protect:
      exe: [/usr/sbin/postgres, /usr/bin/etcd]
  isolate:
    expires: 2h
alerts:
  outputs:
    - {name: chat, type: slack, url: "https://hooks.example/T0/very-secret"}
    - {name: own, type: webhook, url_file: /etc/url, headers: {X-Key: very-secret}}
reports:
  organization: Works
  prices: {kwh: 0.5}
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Respond = config.Contain // as --respond does
	got := map[string]console.Setting{}
	modules := map[string]bool{}
	for _, s := range (settings{cfg}).Settings() {
		if _, twice := got[s.Key]; twice {
			t.Errorf("%s is there twice", s.Key)
		}
		got[s.Key] = s
		modules[s.Section] = true
	}
	for key, want := range map[string]console.Setting{
		"listen":                         {Value: "127.0.0.1:9443", DefaultValue: "127.0.0.1:7443", From: "file"},
		"respond":                        {Value: "contain", DefaultValue: "observe", From: "command"},
		"data":                           {Value: "/var/lib/minewarden", DefaultValue: "/var/lib/minewarden", From: "default", Default: true},
		"responders.isolate.expires":     {Section: "responders/isolate", Value: "2h0m0s", DefaultValue: "4h0m0s", From: "file"},
		"reports.organization":           {Section: "reports", Value: "Works", From: "file"},
		"reports.prices.kwh":             {Section: "reports", Value: "0.5", DefaultValue: "0.15", From: "file"},
		"reports.prices.currency":        {Section: "reports", Value: "USD", DefaultValue: "USD", From: "default", Default: true},
		"responders.process.protect.exe": {Section: "responders/process", Value: "/usr/sbin/postgres, /usr/bin/etcd", From: "file"},
		"alerts.outputs": {
			Section: "alerts", From: "file",
			Value: "",
		},
	} {
		s := got[key]
		want.Key = key
		if key == "alerts.outputs" {
			want.Value = s.Value
		}
		if s != want {
			t.Errorf("got  %+v\nwant %+v", s, want)
		}
	}
	for _, s := range got {
		if strings.Contains(s.Value, "very-secret") || strings.Contains(s.DefaultValue, "very-secret") {
			t.Errorf("a secret is shown: %+v", s)
		}
	}
	for _, m := range []string{"sensors/journal", "sensors/ebpf", "sensors/capture", "detectors/sigma", "detectors/flow", "responders/network", "responders/evidence", "console", "playbooks"} {
		if !modules[m] {
			t.Errorf("nothing of %s", m)
		}
	}
}
