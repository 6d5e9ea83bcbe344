package capture

import "testing"

func TestIs(t *testing.T) {
	for name, tt := range map[string]struct {
		head string
		want bool
	}{
		"pcap":        {"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + string(make([]byte, 16)), true},
		"pcap, other": {"\xa1\xb2\x3c\x4d\x00\x02\x00\x04" + string(make([]byte, 16)), true},
		"pcapng":      {"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00\x4d\x3c\x2b\x1a" + string(make([]byte, 16)), true},
		"short":       {"\xd4\xc3\xb2\xa1", false},
		"text":        {"{\"kind\":\"net.flow\",\"time\":\"2026\"}", false},
	} {
		if got := Is([]byte(tt.head)); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
