package windowshost

import (
	"testing"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/detectortest"
)

func TestRecordings(t *testing.T) { detectortest.Run(t, New) }

func TestRandom(t *testing.T) {
	for name, want := range map[string]bool{
		"duKhLYUX": true, "KgXItsbKgTJzdzwl": true, "hPPOCgiv": true, "xkcdqwrt": true, "UWdKhYTIQWWJxHfx": true, "bTfGzQrW": true,
		"PSEXESVC": false, "nginx": false, "Sysmon64": false, "VBoxDrv": false, "TeamViewer": false, "wuauserv": false, "Spooler": false, "gupdate": false, "MSSQLSERVER": false, "GoogleChromeElevationService": false,
		"": false, "abc": false, "Steam Client": false, "edgeupdate": false, "MozillaMaintenance": false, "vmtoolsd": false, "OneSyncSvc": false, "TermService": false,
	} {
		if got := random(name); got != want {
			t.Errorf("random(%q) = %v", name, got)
		}
	}
}

func TestNear(t *testing.T) {
	for name, want := range map[string]string{
		"svch0st.exe": "svchost.exe", "scvhost.exe": "svchost.exe", "svchosts.exe": "svchost.exe", "svhost.exe": "svchost.exe", "expl0rer.exe": "explorer.exe", "spoolvs.exe": "spoolsv.exe",
		"services64.exe": "", "dllhost3g.exe": "", "a.exe": "", "": "", "spotify.exe": "", "searchhost.exe": "", "taskhost.exe": "",
	} {
		if _, known := homes[name]; known {
			continue
		}
		if got := near([]byte(name)); got != want {
			t.Errorf("near(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestDecode(t *testing.T) {
	for line, want := range map[string]string{
		"powershell -e SQBuAHYAbwBrAGUALQBXAG0A":                    "Invoke-Wm",
		`powershell.exe -EncodedCommand "SQBuAHYAbwBrAGUALQBXAG0A"`: "Invoke-Wm",
		"powershell /enc SQBuAHYAbwBrAGUALQBXAG0A":                  "Invoke-Wm",
		"powershell -ExecutionPolicy Bypass":                        "", "powershell -e": "", "powershell -enc !!!!!!!!!!!!!!!!!!!!!!!!": "", "tar -e aaaaaaaaaaaaaaaaaaaaaaaa": "", "": "",
	} {
		if got, _ := decode(line); got != want {
			t.Errorf("decode(%q) = %q, want %q", line, got, want)
		}
	}
}

func record(id, channel string, fields ...string) *minewarden.Record {
	r := &minewarden.Record{Source: "evtx", Channel: channel, Host: "h", Fields: []minewarden.Field{{Name: "EventID", Value: id}, {Name: "Channel", Value: channel}}}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Fields = append(r.Fields, minewarden.Field{Name: fields[i], Value: fields[i+1]})
	}
	return r
}

func FuzzRecord(f *testing.F) {
	f.Add("4688", `C:\Users\a\svchost.exe`, `cmd.exe`, "powershell -enc SQBuAHYAbwBrAGUALQBXAG0A")
	f.Add("7045", "x", `%SYSTEMROOT%\duKhLYUX.exe`, "c:")
	f.Add("4698", "<Command>a</Command><Arguments>&lt;b</Arguments>", "", "")
	f.Add("5145", `\\*\ADMIN$`, `__1698765432.1`, "0x2")
	f.Fuzz(func(t *testing.T, id, a, b, c string) {
		det, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		for _, channel := range []string{"Security", "System", "Microsoft-Windows-Sysmon/Operational"} {
			r := record(id, channel, "Image", a, "NewProcessName", a, "ParentImage", b, "ParentProcessName", b, "CommandLine", c, "ServiceName", a, "ImagePath", b, "ServiceFileName", b, "ShareName", a,
				"RelativeTargetName", b, "AccessMask", c, "TaskName", b, "TaskContent", a, "PipeName", a, "ImageLoaded", c, "TargetFilename", c)
			for _, f := range det.Observe(&minewarden.Event{Time: time.Unix(1, 0), Data: r}) {
				if len(f.Evidence) == 0 || f.Confidence <= 0 {
					t.Errorf("bare finding %+v", f)
				}
			}
		}
	})
}

func benchmark(b *testing.B, r *minewarden.Record) {
	det, err := New(minewarden.Env{})
	if err != nil {
		b.Fatal(err)
	}
	ev := &minewarden.Event{Time: time.Unix(1, 0), Data: r}
	b.ReportAllocs()
	for b.Loop() {
		if det.Observe(ev) != nil {
			b.Fatal("found something")
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	benchmark(b, record("4688", "Security", "SubjectUserName", "bob", "NewProcessName", `C:\Windows\System32\svchost.exe`, "ParentProcessName", `C:\Windows\System32\services.exe`, "CommandLine", `C:\Windows\system32\svchost.exe -k netsvcs -p -s Schedule`))
}

func BenchmarkShare(b *testing.B) {
	benchmark(b, record("5145", "Security", "ShareName", `\\*\SYSVOL`, "RelativeTargetName", `corp\Policies\gpt.ini`, "AccessMask", "0x1", "IpAddress", "10.0.0.7"))
}

func BenchmarkOther(b *testing.B) {
	benchmark(b, record("4624", "Security", "TargetUserName", "bob", "LogonType", "3"))
}
