package firmware

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"github.com/minewarden/minewarden"
)

func tree(boot, setup byte, date, log string) fstest.MapFS {
	return fstest.MapFS{
		"sys/firmware/efi/efivars/SecureBoot-" + efiGUID:    {Data: []byte{6, 0, 0, 0, boot}},
		"sys/firmware/efi/efivars/SetupMode-" + efiGUID:     {Data: []byte{6, 0, 0, 0, setup}},
		"sys/class/dmi/id/bios_date":                        {Data: []byte(date + "\n")},
		"sys/class/dmi/id/bios_version":                     {Data: []byte("2.1\n")},
		"sys/class/tpm/tpm0/dev":                            {},
		"sys/kernel/security/tpm0/binary_bios_measurements": {Data: []byte(log)},
	}
}

func TestAudit(t *testing.T) {
	const pass, fail, unknown = minewarden.StatusPass, minewarden.StatusFail, minewarden.StatusUnknown
	for name, tc := range map[string]struct {
		root               fstest.MapFS
		secure, age, event minewarden.Status
	}{
		"good":          {tree(1, 0, "06/01/2026", "log"), pass, pass, pass},
		"off and old":   {tree(0, 0, "06/01/2019", ""), fail, fail, fail},
		"setup mode":    {tree(1, 1, "06/01/2026", "log"), fail, pass, pass},
		"odd date":      {tree(1, 0, "2026-06-01", "log"), pass, unknown, pass},
		"legacy":        {fstest.MapFS{"sys/firmware/acpi": {}}, fail, unknown, fail},
		"not running":   {fstest.MapFS{"etc/passwd": {}}, unknown, unknown, unknown},
		"short content": {fstest.MapFS{"sys/firmware/efi/efivars/SecureBoot-" + efiGUID: {Data: []byte{1}}}, unknown, unknown, fail},
	} {
		a, err := New(minewarden.Env{Now: func() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }})
		if err != nil {
			t.Fatal(err)
		}
		v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetHost, Name: "h", Root: tc.root})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]minewarden.Status{}
		for _, c := range v.Checks {
			got[c.Rule] = c.Status
		}
		for rule, want := range map[string]minewarden.Status{ruleSecureBoot: tc.secure, ruleAge: tc.age, ruleMeasured: tc.event} {
			if got[rule] != want {
				t.Errorf("%s: %s is %s, want %s", name, rule, got[rule], want)
			}
		}
	}
}

// FuzzAudit holds that no content of the firmware's files is a pass by accident.
func FuzzAudit(f *testing.F) {
	f.Add([]byte{6, 0, 0, 0, 1}, "06/01/2026", []byte("log"))
	f.Add([]byte{1}, "", []byte{})
	a, err := New(minewarden.Env{Now: func() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, boot []byte, date string, log []byte) {
		root := tree(0, 0, date, string(log))
		root["sys/firmware/efi/efivars/SecureBoot-"+efiGUID].Data = boot
		v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetHost, Name: "h", Root: root})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range v.Checks {
			if c.Rule == ruleSecureBoot && c.Status == minewarden.StatusPass && (len(boot) != 5 || boot[4] != 1) {
				t.Errorf("%x passes", boot)
			}
		}
	})
}
