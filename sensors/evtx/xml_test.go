package evtx

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/minewarden/minewarden"
)

const twoEvents = `<?xml version="1.0" encoding="utf-8"?><Events>
<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='A'/><EventID>1</EventID></System><EventData><Data Name='X'>1 &gt; 0</Data></EventData></Event>
<Event><System><EventID>2</EventID></Syst
<Event><System><EventID>3</EventID></System></Event></Events>`

func xmlEvents(t testing.TB, in []byte) (ids string, faults int) {
	t.Helper()
	err := readXML(context.Background(), bytes.NewReader(in), func(error) { faults++ }, func(ev minewarden.Event) {
		id, _ := ev.Data.(*minewarden.Record).Field("EventID")
		ids += id + " "
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids, faults
}

func TestXML(t *testing.T) {
	wide := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(twoEvents)) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	for name, in := range map[string][]byte{"UTF-8": []byte(twoEvents), "UTF-16": wide} {
		if !MatchXML(in[:min(len(in), 300)]) {
			t.Errorf("%s: Match says no", name)
		}
		if ids, faults := xmlEvents(t, in); ids != "1 3 " || faults != 1 {
			t.Errorf("%s: events %q, %d faults", name, ids, faults)
		}
	}
	if ids, faults := xmlEvents(t, []byte("<Event>"+strings.Repeat("x", 5<<20)+"</Event>"+twoEvents)); ids != "1 3 " || faults != 2 {
		t.Errorf("an endless event: %q, %d faults", ids, faults)
	}
	if MatchXML([]byte("<html><EventsPage></html>")) {
		t.Error("HTML is taken for events")
	}
}

func FuzzXML(f *testing.F) {
	f.Add([]byte(twoEvents))
	f.Fuzz(func(t *testing.T, in []byte) {
		MatchXML(in)
		xmlEvents(t, in)
	})
}
