package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/indicators"
	"github.com/minewarden/minewarden/internal/recording"
	"github.com/minewarden/minewarden/pipeline"
	"github.com/minewarden/minewarden/sensors"
)

// A Replayed is the result of one file.
type Replayed struct {
	Path     string
	Reader   string // who read it; "" when nobody could
	Events   uint64
	Lost     uint64
	Findings []minewarden.Finding
	Rules    *Rules
	Bad      int   // parts that were skipped
	FirstBad error // why the first of them was
	Err      error // why the rest was not read; what came before it counts
}

// maxFindings bounds what one file may report: a recording made to flood must not fill the memory. What is beyond is counted
// in Replayed.Err.
const maxFindings = 100_000

// Replay reads the files, each with detectors of its own, and calls done for each in the order of paths. It uses all CPUs; the
// results do not depend on how many there are.
func Replay(ctx context.Context, cfg *config.Config, log *slog.Logger, paths []string, done func(Replayed)) error {
	makers, err := NewMakers(cfg, log)
	if err != nil {
		return err
	}
	if _, _, err := makers.Detectors(); err != nil {
		return err // once, before any work: a wrong configuration is not a fault of each file
	}
	set, err := LoadIndicators(cfg.Data)
	if errors.Is(err, fs.ErrPermission) { // the lists of an agent that belongs to somebody else
		log.Warn("only the indicators that come with the program are used", "reason", err)
		set, err = indicators.Load("")
	}
	if err != nil {
		return err
	}
	results := make([]chan Replayed, len(paths))
	for i := range results {
		results[i] = make(chan Replayed, 1)
	}
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(paths)) {
		workers.Go(func() {
			for i := range next {
				results[i] <- replayOne(ctx, makers, set, paths[i])
			}
		})
	}
	workers.Go(func() {
		defer close(next)
		for i := range paths {
			select {
			case next <- i:
			case <-ctx.Done():
				for ; i < len(paths); i++ {
					results[i] <- Replayed{Path: paths[i], Err: ctx.Err()}
				}
				return
			}
		}
	})
	for i := range results {
		done(<-results[i])
	}
	workers.Wait()
	return ctx.Err()
}

// matcher is what the pipeline asks of events. Recorded events have what they met when they were recorded, and keep it.
func matcher(set *indicators.Set, reader string) func(*minewarden.Event) []minewarden.Match {
	if reader == "recording" {
		return nil
	}
	return set.Match
}

func replayOne(ctx context.Context, makers *Makers, set *indicators.Set, path string) (res Replayed) {
	res.Path = path
	reader, from, err := readerFor(path)
	if err != nil {
		res.Err = err
		return res
	}
	defer from.Close()
	res.Reader = reader.Name
	dets, rules, err := makers.Detectors()
	if err != nil {
		res.Err = err
		return res
	}
	res.Rules = rules
	dropped := 0
	pipe := pipeline.New(pipeline.Options{Log: makers.log, Host: recording.Host{}, Detectors: dets, Country: makers.Country, Match: matcher(set, reader.Name), Finding: func(f minewarden.Finding) {
		if len(res.Findings) >= maxFindings {
			dropped++
			return
		}
		f.Input = path
		res.Findings = append(res.Findings, f)
	}})
	bad := func(err error) {
		res.Bad++
		if res.FirstBad == nil {
			res.FirstBad = err
		}
	}
	res.Err = reader.Read(ctx, from.path, bad, pipe.Observe)
	pipe.Flush()
	if dropped > 0 {
		res.Err = errors.Join(res.Err, fmt.Errorf("%d findings beyond the first %d are not shown", dropped, maxFindings))
	}
	s := pipe.Stats()
	res.Events, res.Lost = s.Events, s.Lost
	return res
}

// A bytesOf is where a reader finds the bytes of a file: the file itself, or what comes out of a pipe, its head included.
type bytesOf struct {
	path string
	pipe *os.File // nil for a file
}

func (s bytesOf) Close() error {
	if s.pipe == nil {
		return nil
	}
	return s.pipe.Close()
}

// readerFor chooses by content, never by name. "-" is standard input.
func readerFor(path string) (sensors.Reader, bytesOf, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return sensors.Reader{}, bytesOf{}, err
		}
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = errors.Join(errors.New("is a directory"), f.Close())
	}
	if err != nil {
		return sensors.Reader{}, bytesOf{}, err
	}
	head := make([]byte, sensors.HeadLen)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return sensors.Reader{}, bytesOf{}, errors.Join(err, f.Close())
	}
	if n == 0 {
		return sensors.Reader{}, bytesOf{}, errors.Join(errors.New("is empty"), f.Close())
	}
	for _, r := range sensors.Readers() {
		if !r.Match(head[:n]) {
			continue
		}
		if st.Mode().IsRegular() && path != "-" {
			return r, bytesOf{path: path}, f.Close()
		}
		from, err := spliced(head[:n], f)
		return r, from, err
	}
	return sensors.Reader{}, bytesOf{}, errors.Join(errors.New("is of no kind that can be read"), f.Close())
}

// spliced puts the head back before the rest of what cannot be read twice.
func spliced(head []byte, rest *os.File) (bytesOf, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return bytesOf{}, errors.Join(err, rest.Close())
	}
	go func() {
		defer w.Close()
		defer rest.Close()
		if _, err := w.Write(head); err == nil {
			_, _ = io.Copy(w, rest) // the reader tells of an end that came too early
		}
	}()
	return bytesOf{fmt.Sprintf("/proc/self/fd/%d", r.Fd()), r}, nil
}
