package logfile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/logs"
)

// Match reports whether head, the first bytes of a file, is text: every text is a log of some kind.
func Match(head []byte) bool { return logs.IsText(head) }

// Read emits a record for each line of the file, or for each event that its lines make. Times without a year are the last such
// before the file was written; times without a zone are UTC, so that a replay does not depend on where it runs.
func Read(ctx context.Context, path string, bad func(error), emit minewarden.Emit) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return read(ctx, f, st.ModTime(), bad, emit)
}

func read(ctx context.Context, src io.Reader, written time.Time, bad func(error), emit minewarden.Emit) error {
	dec := &logs.Decoder{Now: func() time.Time { return written }, Location: time.UTC, Fault: bad}
	out := func(t time.Time, rec *minewarden.Record) { emit(minewarden.Event{Time: t, Data: rec}) }
	text := bufio.NewReaderSize(logs.UTF8(src), 64<<10)
	head, err := text.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	if spread(head) {
		err = readObjects(ctx, text, dec, bad, out)
	} else {
		err = readLines(ctx, text, dec, bad, out)
	}
	dec.Flush(out)
	if n := dec.Replaced(); n > 0 {
		bad(fmt.Errorf("%d lines held bytes that are no UTF-8; these were replaced", n))
	}
	return err
}

func readLines(ctx context.Context, src io.Reader, dec *logs.Decoder, bad func(error), out func(time.Time, *minewarden.Record)) error {
	lines := logs.NewLines(src)
	for n := 1; ; n++ {
		line, _, _, cut, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if cut {
			bad(fmt.Errorf("line %d: longer than %d KiB, the rest was left out", n, logs.MaxLine>>10))
		}
		if err := dec.Line(line, out); err != nil {
			bad(fmt.Errorf("line %d: %w", n, err))
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func readObjects(ctx context.Context, src io.Reader, dec *logs.Decoder, bad func(error), out func(time.Time, *minewarden.Record)) error {
	objects := logs.NewObjects(src)
	for n := 1; ; n++ {
		object, cut, err := objects.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("object %d: %w", n, err)
		case cut:
			bad(fmt.Errorf("object %d: longer than %d KiB, left out", n, 4*logs.MaxLine>>10))
			continue
		}
		if err := dec.Line(object, out); err != nil {
			bad(fmt.Errorf("object %d: %w", n, err))
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// spread reports whether the file holds JSON that is not one object a line.
func spread(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n")
	if len(head) < 2 || head[0] != '{' && head[0] != '[' {
		return false
	}
	line, rest, whole := bytes.Cut(head, []byte("\n"))
	line = bytes.TrimSpace(line)
	if head[0] == '[' {
		next := bytes.TrimLeft(head[1:], " \t\r\n")
		return len(next) > 0 && next[0] == '{'
	}
	return whole && line[len(line)-1] != '}' && len(bytes.TrimSpace(rest)) > 0
}
