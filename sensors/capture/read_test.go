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

func TestKey(t *testing.T) {
	one := addr{1, 2}
	var k key
	k.set(protoTCP, one, addr{3, 4}, 5, 6)
	for i, other := range []key{
		{a: addr{0, 2}, b: k.b, ports: k.ports},
		{a: addr{1, 0}, b: k.b, ports: k.ports},
		{a: one, b: addr{1, 4}, ports: k.ports},
		{a: one, b: addr{3, 0}, ports: k.ports},
		{a: one, b: k.b, ports: k.ports + 1},
		{a: addr{1, 2 ^ 8}, b: addr{3, 4 ^ 8}, ports: k.ports},
		{a: addr{1 ^ 8, 2}, b: addr{3 ^ 8, 4}, ports: k.ports},
		{a: addr{1 ^ 8, 2 ^ 8}, b: addr{3, 4}, ports: k.ports},
	} {
		if k.same(&other) {
			t.Errorf("%d: %+v is the same as %+v", i, other, k)
		}
	}
	back := k
	if !back.same(&k) || back.set(protoTCP, addr{3, 4}, one, 6, 5) == false || !back.same(&k) {
		t.Errorf("%+v is not the same as %+v", back, k)
	}
}
