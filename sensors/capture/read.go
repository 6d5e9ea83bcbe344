package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/minewarden/minewarden"
)

// checkEvery is how many packets pass between looks at the context.
const checkEvery = 1024

// Read emits what the packets of a capture file tell, until it ends or ctx is done. Packets that cannot be read as what they
// claim to be are counted and told to bad once, at the end. Event.Data and its bytes are valid until emit returns.
func Read(ctx context.Context, path string, bad func(error), emit minewarden.Emit) error {
	in, err := openInput(path)
	if err != nil {
		return err
	}
	return errors.Join(read(ctx, in, bad, emit), in.Close())
}

func read(ctx context.Context, in *input, bad func(error), emit minewarden.Emit) (err error) {
	fr, err := newFrameReader(in, bad)
	if err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a mapped file may be cut while it is read
	l := defaultLimits()
	l.reuse = true
	e := newEngine(emit, l)
	n := 0
	defer func() {
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			err = fmt.Errorf("packet %d: the file was cut short while it was read", n)
		}
		e.finish()
		if e.stats.bad > 0 {
			bad(fmt.Errorf("%d of %d packets have headers that cannot be read", e.stats.bad, n))
		}
		if e.stats.strange > 0 {
			bad(fmt.Errorf("%d of %d packets are of link types that are not known, the last %d", e.stats.strange, n, e.stats.strangeLink))
		}
	}()
	var f frame
	p, plain := fr.(*pcap)
	for {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if in.off >= in.turn {
			if err := in.ahead(); err != nil {
				return err
			}
		}
		if plain {
			err = p.next(&f)
		} else {
			err = fr.next(&f)
		}
		if err != nil {
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			// What was captured of a packet that is cut short still tells something, but a length that is wrong does not.
			return err
		}
		n++
		e.frame(&f)
	}
}
