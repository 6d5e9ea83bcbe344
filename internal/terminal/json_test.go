package terminal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	in := map[string]string{"name": "a\u202eb\u009b31m\x7f\U000e0041 中文 é \x1b[2J"}
	if err := JSON(&b).Encode(in); err != nil {
		t.Fatal(err)
	}
	want := `{"name":"a\u202eb\u009b31m\u007f\udb40\udc41 中文 é \u001b[2J"}` + "\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	var out map[string]string
	if err := json.Unmarshal(b.Bytes(), &out); err != nil || out["name"] != in["name"] {
		t.Errorf("read back %q, %v", out["name"], err)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("x\u202e\u009b\x7f\U000e0041\xff")
	f.Fuzz(func(t *testing.T, s string) {
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		safe := string(SafeJSON(plain))
		if i := strings.IndexFunc(safe, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("%q is left at %d", safe, i)
		}
		var want, got string
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(safe), &got); err != nil || got != want {
			t.Fatalf("%q is read as %q: %v", safe, got, err)
		}
	})
}
