// Package recording reads and writes recorded events: one minewarden.Event as JSON a line.
package recording

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/host"
	"github.com/minewarden/minewarden/internal/terminal"
)

// maxLine bounds one event: a File or Write with 64 KiB of content in base64, and an Exec with its argv, fit well within it.
const maxLine = 4 << 20

// Host is what the pipeline may know in a replay: only what follows from the recording itself.
type Host struct{}

// Container implements pipeline.Host.
func (Host) Container(cgroup string) minewarden.Container { return host.ContainerOf(cgroup) }

// CgroupPath implements pipeline.Host.
func (Host) CgroupPath(uint64) string { return "" }

// CgroupOf implements pipeline.Host.
func (Host) CgroupOf(minewarden.ProcessKey) string { return "" }

// Owner implements pipeline.Host.
func (Host) Owner(string, minewarden.Inode) string { return "" }

// Is reports whether head, the first bytes of a file, looks like recorded events.
func Is(head []byte) bool {
	line, _, _ := bytes.Cut(bytes.TrimLeft(head, " \t\r\n"), []byte("\n"))
	return bytes.HasPrefix(line, []byte("{")) && bytes.Contains(line, []byte(`"kind"`)) && bytes.Contains(line, []byte(`"time"`))
}

// Read yields the events of r. A line that is not an event yields an error that names it, and reading goes on; after any other
// error it ends.
func Read(r io.Reader) iter.Seq2[minewarden.Event, error] {
	return func(yield func(minewarden.Event, error) bool) {
		sc := bufio.NewScanner(r)
		sc.Buffer(make([]byte, 64<<10), maxLine)
		n := 0
		for sc.Scan() {
			n++
			line := bytes.TrimSpace(sc.Bytes())
			if len(line) == 0 {
				continue
			}
			var ev minewarden.Event
			if err := json.Unmarshal(line, &ev); err != nil {
				if !yield(minewarden.Event{}, &LineError{n, err}) {
					return
				}
				continue
			}
			if !yield(ev, nil) {
				return
			}
		}
		if err := sc.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("line %d is longer than %d MiB", n+1, maxLine>>20)
			}
			yield(minewarden.Event{}, err)
		}
	}
}

// A LineError is a line that is not an event.
type LineError struct {
	Line int // from 1
	Err  error
}

// Error says which line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with it.
func (e *LineError) Unwrap() error { return e.Err }

// A File is a recording as a sensor.
type File struct {
	Path string
	Bad  func(error) // told of each line that is not an event; nil: the first one ends the run
}

// Info implements minewarden.Sensor.
func (f File) Info() minewarden.Info {
	return minewarden.Info{Name: "recording", Title: "recorded events"}
}

// Run emits the events of the file.
func (f File) Run(ctx context.Context, emit minewarden.Emit) error {
	r, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer r.Close()
	for ev, err := range Read(r) {
		var bad *LineError
		if errors.As(err, &bad) && f.Bad != nil {
			f.Bad(err)
			continue
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		emit(ev)
	}
	return nil
}

// A Writer appends events to a recording. It is not safe for concurrent use.
type Writer struct {
	enc *json.Encoder
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	enc := terminal.JSON(w)
	enc.SetEscapeHTML(false)
	return &Writer{enc}
}

// Write appends ev.
func (w *Writer) Write(ev *minewarden.Event) error { return w.enc.Encode(ev) }
