package evtx_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/minewarden/minewarden/sensors/evtx"
)

// builder writes a chunk by hand: names and templates stand where they are first used.
type builder struct {
	b     []byte
	names map[string]uint32
	def   uint32
}

func le[T uint16 | uint32 | uint64](b []byte, v T) []byte {
	switch v := any(v).(type) {
	case uint16:
		return binary.LittleEndian.AppendUint16(b, v)
	case uint32:
		return binary.LittleEndian.AppendUint32(b, v)
	case uint64:
		return binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = le(b, u)
	}
	return b
}

func (w *builder) name(s string) {
	at, known := w.names[s]
	if !known {
		at = uint32(len(w.b) + 4)
		w.names[s] = at
	}
	w.b = le(w.b, at)
	if !known {
		w.b = le(w.b, uint32(0))
		w.b = le(w.b, uint16(0))
		w.b = le(w.b, uint16(len(wide(s))/2))
		w.b = le(append(w.b, wide(s)...), uint16(0))
	}
}

// open begins an element; attrs are pairs of a name and a literal, or "" for the substitution next.
func (w *builder) open(name string, next int, attrs ...string) {
	tok := byte(0x01)
	if len(attrs) > 0 {
		tok = 0x41
	}
	w.b = le(le(append(w.b, tok), uint16(0xffff)), uint32(0))
	w.name(name)
	if len(attrs) > 0 {
		w.b = le(w.b, uint32(0))
	}
	for i := 0; i < len(attrs); i += 2 {
		w.b = append(w.b, 0x06)
		w.name(attrs[i])
		if attrs[i+1] == "" {
			w.sub(next)
		} else {
			w.b = append(le(append(w.b, 0x05, 0x01), uint16(len(wide(attrs[i+1]))/2)), wide(attrs[i+1])...)
		}
	}
	w.b = append(w.b, 0x02)
}

func (w *builder) sub(n int) { w.b = append(le(append(w.b, 0x0e), uint16(n)), 0) }
func (w *builder) end()      { w.b = append(w.b, 0x04) }
func (w *builder) text(s string) {
	w.b = append(le(append(w.b, 0x05, 0x01), uint16(len(wide(s))/2)), wide(s)...)
}

type value struct {
	typ byte
	b   []byte
}

// log builds a file of one chunk with one record: a template with these named values.
func build(names []string, values []value) []byte {
	w := &builder{b: make([]byte, 512), names: map[string]uint32{}}
	start := len(w.b)
	w.b = append(w.b, "**\x00\x00\x00\x00\x00\x00"...)
	w.b = le(le(w.b, uint64(7)), uint64(131000000000000000))
	w.b = append(w.b, 0x0f, 1, 1, 0, 0x0c, 1)
	w.b = le(w.b, uint32(0x01020304))
	w.b = le(w.b, uint32(len(w.b)+4))
	def := len(w.b)
	w.b = append(w.b, 0, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	w.b = append(w.b, 0x0f, 1, 1, 0)
	w.open("Event", 0)
	w.open("System", 0)
	w.open("Provider", 0, "Name", "Maker & Co")
	w.end()
	w.open("EventID", 0, "Qualifiers", "")
	w.sub(1)
	w.end()
	w.open("Channel", 0)
	w.text("Application")
	w.end()
	w.end()
	w.open("EventData", 0)
	for i, n := range names {
		w.open("Data", 0, "Name", n)
		w.sub(i + 2)
		w.end()
	}
	w.open("Data", 0)
	w.text("a ")
	w.b = append(w.b, 0x09)
	w.name("lt")
	w.b = le(append(w.b, 0x08), uint16('é'))
	w.b = append(le(append(w.b, 0x07), uint16(2)), wide("<>")...)
	w.sub(1)
	w.end()
	w.end()
	w.end()
	w.b = append(w.b, 0)
	binary.LittleEndian.PutUint32(w.b[def+20:], uint32(len(w.b)-def-24))
	values = append([]value{{0x06, []byte{0, 64}}, {0x06, []byte{0x39, 0x30}}}, values...)
	w.b = le(w.b, uint32(len(values)))
	for _, v := range values {
		w.b = append(le(w.b, uint16(len(v.b))), v.typ, 0)
	}
	for _, v := range values {
		w.b = append(w.b, v.b...)
	}
	size := uint32(len(w.b) - start + 4)
	w.b = le(w.b, size)
	binary.LittleEndian.PutUint32(w.b[start+4:], size)
	return seal(w.b)
}

// seal gives the chunk its header and the file its own.
func seal(c []byte) []byte {
	copy(c, "ElfChnk\x00")
	binary.LittleEndian.PutUint32(c[40:], 128)
	binary.LittleEndian.PutUint32(c[48:], uint32(len(c)))
	binary.LittleEndian.PutUint32(c[52:], crc32.ChecksumIEEE(c[512:]))
	binary.LittleEndian.PutUint32(c[124:], crc32.Update(crc32.ChecksumIEEE(c[:120]), crc32.IEEETable, c[128:512]))
	f := make([]byte, 4096)
	copy(f, "ElfFile\x00")
	copy(f[32:], []byte{128, 0, 0, 0, 1, 0, 3, 0, 0, 16, 1})
	binary.LittleEndian.PutUint32(f[124:], crc32.ChecksumIEEE(f[:120]))
	return append(append(f, c...), make([]byte, 64<<10-len(c))...)
}

var everyType = []struct {
	name string
	v    value
	want []string // nil: no field
}{
	{"Null", value{0x00, nil}, nil},
	{"Empty", value{0x01, nil}, []string{""}},
	{"String", value{0x01, wide("Grüße 😀\x00")}, []string{"Grüße 😀"}},
	{"Half", value{0x01, []byte{'a', 0, 0x3d, 0xd8}}, []string{"a\uFFFD"}},
	{"ANSI", value{0x02, []byte("caf\xe9\x00")}, []string{"café"}},
	{"Int8", value{0x03, []byte{0xff}}, []string{"-1"}},
	{"Uint8", value{0x04, []byte{0xff}}, []string{"255"}},
	{"Int16", value{0x05, []byte{0xfe, 0xff}}, []string{"-2"}},
	{"Uint16", value{0x06, []byte{0xfe, 0xff}}, []string{"65534"}},
	{"Int32", value{0x07, []byte{0xfd, 0xff, 0xff, 0xff}}, []string{"-3"}},
	{"Uint32", value{0x08, []byte{0xfd, 0xff, 0xff, 0xff}}, []string{"4294967293"}},
	{"Int64", value{0x09, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}}, []string{"-9223372036854775808"}},
	{"Uint64", value{0x0a, []byte{255, 255, 255, 255, 255, 255, 255, 255}}, []string{"18446744073709551615"}},
	{"Float32", value{0x0b, []byte{0, 0, 0xc0, 0x3f}}, []string{"1.5"}},
	{"Float64", value{0x0c, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0xbf}}, []string{"-1.5"}},
	{"Bool", value{0x0d, []byte{1, 0, 0, 0}}, []string{"true"}},
	{"Binary", value{0x0e, []byte{0xde, 0xad}}, []string{"DEAD"}},
	{"GUID", value{0x0f, []byte{0x5f, 0x38, 0x70, 0x57, 0x2a, 0xc2, 0xe0, 0x43, 0xbf, 0x4c, 6, 0xf5, 0x69, 0x8f, 0xfb, 0xd9}}, []string{"{5770385F-C22A-43E0-BF4C-06F5698FFBD9}"}},
	{"Size", value{0x10, []byte{0xe7, 3, 0, 0}}, []string{"0x3e7"}},
	{"Filetime", value{0x11, le(nil, uint64(131189028370888671))}, []string{"2016-09-21T03:40:37.0888671Z"}},
	{"Systemtime", value{0x12, []byte{0xe0, 7, 9, 0, 3, 0, 21, 0, 3, 0, 40, 0, 37, 0, 88, 0}}, []string{"2016-09-21T03:40:37.0880000Z"}},
	{"SID", value{0x13, []byte{1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0}}, []string{"S-1-5-32-544"}},
	{"Hex32", value{0x14, []byte{0xa0, 0xe, 0, 0}}, []string{"0xea0"}},
	{"Hex64", value{0x15, []byte{1, 0, 0, 0, 0, 0, 0, 0x80}}, []string{"0x8000000000000001"}},
	{"Strings", value{0x81, append(append(wide("one\x00"), wide("\x00")...), wide("three\x00")...)}, []string{"one", "", "three"}},
	{"Numbers", value{0x86, []byte{1, 0, 2, 0}}, []string{"1", "2"}},
	{"SIDs", value{0x93, []byte{1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 5, 19, 0, 0, 0}}, []string{"S-1-5-18", "S-1-5-19"}},
	{"XMLText", value{0x23, wide("<a/>")}, []string{"<a/>"}},
}

func TestEveryTypeOfValue(t *testing.T) {
	var names []string
	var values []value
	want := [][2]string{
		{"EventID", "12345"}, {"Channel", "Application"}, {"Provider_Name", "Maker & Co"}, {"EventID_Qualifiers", "16384"},
	}
	for _, e := range everyType {
		names, values = append(names, e.name), append(values, e.v)
		for _, v := range e.want {
			want = append(want, [2]string{e.name, v})
		}
	}
	want = append(want, [2]string{"Data", "a <é<>12345"})
	log := build(names, values)
	if !evtx.Match(log[:4096]) {
		t.Error("Match says no")
	}
	records, faults := read(t, log)
	if len(records) != 1 || len(faults) != 0 {
		t.Fatalf("%d records, %v", len(records), faults)
	}
	var got [][2]string
	for _, f := range records[0].Fields {
		got = append(got, [2]string{f.Name, f.Value})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields differ (-want +got):\n%s", diff)
	}
	if records[0].Channel != "Application" || records[0].Source != "evtx" {
		t.Errorf("channel %q of source %q", records[0].Channel, records[0].Source)
	}
}

func TestDamagedMagicIsStillAnEventLog(t *testing.T) {
	log := build([]string{"A"}, []value{{0x01, wide("x")}})
	log[2] ^= 4
	log[4096] ^= 4
	if !evtx.Match(log[:4096]) {
		t.Error("one flipped bit hides the log")
	}
	if records, faults := read(t, log); len(records) != 1 || len(faults) < 2 {
		t.Errorf("%d records, %v", len(records), faults)
	}
}
