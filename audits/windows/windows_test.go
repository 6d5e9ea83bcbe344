package windows

import (
	"context"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/minewarden/minewarden"
)

func le16(s string) []byte {
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}

const weakINF = "[Unicode]\r\nUnicode=yes\r\n[Privilege Rights]\r\nSeDebugPrivilege = *S-1-5-32-544,*S-1-5-21-1-2-3-1001\r\nSeLoadDriverPrivilege = *S-1-5-32-544\r\n"

const backup = "Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting,Setting Value\r\n" +
	"SRV,System,Prozesserstellung,{0cce922b-69ae-11d9-bed3-505054503030},Erfolg,,1\r\n" +
	"SRV,System,Sicherheitssystemerweiterung,{0CCE9211-69AE-11D9-BED3-505054503030},Keine,,0\r\n"

func TestFiles(t *testing.T) {
	const pass, fail, unknown = minewarden.StatusPass, minewarden.StatusFail, minewarden.StatusUnknown
	for name, tc := range map[string]struct {
		path string
		data []byte
		want map[string]minewarden.Status
	}{
		"inf utf16":  {"a.inf", le16(weakINF), map[string]minewarden.Status{ruleDebug: fail, ruleDrivers: pass}},
		"inf utf8":   {"a.inf", []byte("\xef\xbb\xbf" + weakINF), map[string]minewarden.Status{ruleDebug: fail, ruleDrivers: pass}},
		"backup":     {"a.csv", le16(backup), map[string]minewarden.Status{rule4688: pass, rule4697: fail, rule5145: unknown}},
		"get /r":     {"a.csv", []byte("Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting\r\nS,System,Detailed File Share,{0CCE9244-69AE-11D9-BED3-505054503030},Success and Failure,\r\n"), map[string]minewarden.Status{rule5145: pass, rule4688: unknown}},
		"translated": {"a.csv", []byte("M,System,X,{0CCE9244-69AE-11D9-BED3-505054503030},Erfolg,\r\n"), map[string]minewarden.Status{rule5145: unknown}},
	} {
		a, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if !a.(minewarden.FileAuditor).Claims(tc.path, tc.data) {
			t.Errorf("%s: not claimed", name)
		}
		v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Path: tc.path, Data: tc.data})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]minewarden.Status{}
		for _, c := range v.Checks {
			got[c.Rule] = c.Status
		}
		for rule, want := range tc.want {
			if got[rule] != want {
				t.Errorf("%s: %s is %q, want %s", name, rule, got[rule], want)
			}
		}
	}
}

func TestDisk(t *testing.T) {
	a, err := New(minewarden.Env{})
	if err != nil {
		t.Fatal(err)
	}
	for want, root := range map[minewarden.Status]fstest.MapFS{
		minewarden.StatusFail: {"Windows/System32/x": {}},
		minewarden.StatusPass: {"Windows/System32/CodeIntegrity/CiPolicies/Active/{1}.cip": {}},
	} {
		v, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetHost, Root: root})
		if err != nil || len(v.Checks) == 0 || v.Checks[0].Status != want {
			t.Errorf("%+v %v, want %s", v.Checks, err, want)
		}
	}
}

func FuzzAudit(f *testing.F) {
	f.Add(le16(weakINF))
	f.Add([]byte(backup))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := New(minewarden.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Audit(context.Background(), minewarden.Target{Kind: minewarden.TargetFile, Path: "a.csv", Data: b}); err != nil {
			return
		}
	})
}
