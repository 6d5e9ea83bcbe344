package evtx

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/logs"
)

// maxXML bounds one event as XML, in bytes.
const maxXML = 4 << 20

// MatchXML reports whether head, the first bytes of a file, is of events as XML: of wevtutil, the Event Viewer or PowerShell, in
// UTF-8 or UTF-16.
func MatchXML(head []byte) bool {
	text := make([]byte, len(head))
	n, err := io.ReadFull(logs.UTF8(bytes.NewReader(head)), text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return false
	}
	text = bytes.TrimSpace(text[:n])
	return bytes.HasPrefix(text, []byte("<")) && beginning(text) >= 0
}

// beginning returns where an event begins in text, -1: nowhere.
func beginning(text []byte) int {
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("<Event"))
		if i < 0 || at+i+6 >= len(text) {
			return -1
		}
		at += i + 6
		switch text[at] {
		case '>', ' ', '\t', '\r', '\n':
			return at - 6
		}
	}
}

// ReadXML emits the events of a file of XML. It looks for events by their tags, so a damaged one does not hide those behind it.
func ReadXML(ctx context.Context, path string, bad func(error), emit minewarden.Emit) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return readXML(ctx, f, bad, emit)
}

func readXML(ctx context.Context, src io.Reader, bad func(error), emit minewarden.Emit) error {
	r := bufio.NewReaderSize(logs.UTF8(src), 64<<10)
	var event []byte
	inside, cut, n := false, false, 0
	for {
		part, err := r.ReadSlice('>')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return fmt.Errorf("after event %d: %w", n, err)
		}
		if i := beginning(append(part[:len(part):len(part)], ' ')); i >= 0 {
			if inside {
				bad(fmt.Errorf("event %d has no end", n))
			}
			inside, cut, event = true, false, event[:0]
			part = part[i:]
			n++
		}
		if inside {
			if len(event)+len(part) > maxXML {
				cut = true
			} else {
				event = append(event, part...)
			}
			if bytes.HasSuffix(part, []byte("</Event>")) {
				inside = false
				if cut {
					bad(fmt.Errorf("event %d is longer than %d MiB, left out", n, maxXML>>20))
				} else if t, rec, err := logs.EventXML(event); err != nil {
					bad(fmt.Errorf("event %d: %w", n, err))
				} else {
					emit(minewarden.Event{Time: t, Data: rec})
				}
			}
		}
		if errors.Is(err, io.EOF) {
			if inside {
				bad(fmt.Errorf("event %d has no end", n))
			}
			return nil
		}
		if n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
