package syslog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/logs"
)

const (
	udpBuffer = 4 << 20
	settle    = 2 * time.Second // how long parts of an event wait for each other
	grace     = 200 * time.Millisecond
)

func toValid(b []byte) []byte { return bytes.ToValidUTF8(b, []byte("\uFFFD")) }

func listenUDP(ctx context.Context, addr string) (*net.UDPConn, error) {
	c, err := (&net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var inner error
		err := raw.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) })
		return errors.Join(err, inner)
	}}).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for udp: %w", err)
	}
	udp, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for udp: %T is no socket for datagrams", c), c.Close())
	}
	if err := udp.SetReadBuffer(udpBuffer); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for udp: %w", err), udp.Close())
	}
	return udp, nil
}

// udp takes a message of each datagram.
func (s *server) udp(ctx context.Context, c *net.UDPConn) (err error) {
	stop := context.AfterFunc(ctx, func() {
		// What the kernel holds already is still read.
		if err := c.SetReadDeadline(time.Now().Add(grace)); err != nil {
			s.fault("udp", err)
		}
	})
	defer stop()
	defer func() { err = errors.Join(err, c.Close()) }()
	buf, oob := make([]byte, 64<<10), make([]byte, 128)
	var told uint32
	dec := s.decoder("udp")
	for {
		n, nob, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil && err != nil {
			dec.Flush(s.out("udp"))
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive datagrams: %w", err)
		}
		if d := dropped(oob[:nob]); d > told {
			s.mu.Lock()
			s.emit(minewarden.Event{Time: s.env.Now().UTC(), Data: &minewarden.Lost{N: uint64(d - told), Where: "udp socket"}})
			s.mu.Unlock()
			told = d
		}
		peer := from.Addr().Unmap().String()
		for line := range bytes.Lines(buf[:n]) {
			s.take(dec, peer, bytes.TrimRight(line, "\x00"))
		}
		if dec.Waiting() {
			dec.Flush(s.out(peer)) // datagrams have no order, and each has its own sender
		}
	}
}

// dropped reads how many datagrams the kernel dropped on this socket, ever.
func dropped(oob []byte) uint32 {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_RXQ_OVFL && len(m.Data) >= 4 {
			return binary.NativeEndian.Uint32(m.Data)
		}
	}
	return 0
}

// tcp takes connections until ctx is done.
func (s *server) tcp(ctx context.Context, l net.Listener, conf *tls.Config) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	stop := context.AfterFunc(ctx, func() {
		if err := l.Close(); err != nil {
			s.fault("tcp", err)
		}
	})
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				return c.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept connections: %w", err)
		}
		peer := host(c.RemoteAddr())
		if !s.admit(peer) {
			s.fault(peer, errors.New("too many connections"))
			if err := c.Close(); err != nil {
				s.fault(peer, err)
			}
			continue
		}
		conns.Go(func() {
			defer s.leave(peer)
			if conf != nil {
				c = tls.Server(c, conf)
			}
			if err := s.conn(ctx, c, peer); err != nil {
				s.fault(peer, err)
			}
		})
	}
}

// conn takes the messages of one connection.
func (s *server) conn(ctx context.Context, c net.Conn, peer string) (err error) {
	defer func() { err = errors.Join(err, c.Close()) }()
	stop := context.AfterFunc(ctx, func() {
		if err := c.SetReadDeadline(time.Now().Add(grace)); err != nil {
			s.fault(peer, err)
		}
	})
	defer stop()
	dec := s.decoder(peer)
	defer dec.Flush(s.out(peer))
	r := &frames{r: bufio.NewReaderSize(c, 256<<10)}
	silent := time.Duration(0)
	deadline := time.Time{}
	for {
		wait := idle
		if dec.Waiting() {
			wait = settle
		}
		// A deadline for every message would cost more than the message.
		if now := time.Now(); ctx.Err() == nil && (r.r.Buffered() == 0 && (deadline.IsZero() || deadline.Sub(now) < wait/2 || deadline.Sub(now) > wait)) {
			deadline = now.Add(wait)
			if err := c.SetReadDeadline(deadline); err != nil {
				return err
			}
			if ctx.Err() != nil {
				if err := c.SetReadDeadline(now.Add(grace)); err != nil {
					return err
				}
			}
		}
		msg, cut, err := r.next()
		if cut {
			s.fault(peer, fmt.Errorf("a message was longer than %d KiB and was cut", logs.MaxLine>>10))
		}
		if len(msg) > 0 {
			s.take(dec, peer, msg)
			silent = 0
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return nil
		case isTimeout(err) && silent < idle && !r.broken():
			silent += wait
			dec.Flush(s.out(peer))
			deadline = time.Time{}
		default:
			return err
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// frames cuts a stream into messages: "12 text…", or lines.
type frames struct {
	r    *bufio.Reader
	buf  []byte // what came of a message that is not whole
	want int    // bytes of a counted message that are still to come
	skip int    // bytes of it that are left out
	long bool   // a line that is cut: the rest is left out
}

// broken reports whether a message was begun and not ended.
func (f *frames) broken() bool { return len(f.buf) > 0 || f.want > 0 || f.skip > 0 }

// next returns the next message, valid until the next call. With an error msg may hold the last, unended one; after a timeout
// next may be called again and goes on where it was.
func (f *frames) next() (msg []byte, cut bool, err error) {
	if f.want == 0 && f.skip == 0 && len(f.buf) == 0 && !f.long {
		if err := f.count(); err != nil {
			return nil, false, err
		}
	}
	if f.want > 0 || f.skip > 0 {
		return f.counted()
	}
	for {
		part, err := f.r.ReadSlice('\n')
		if err == nil && len(f.buf) == 0 && !f.long {
			return bytes.TrimRight(part, "\r\n\x00"), false, nil
		}
		if room := logs.MaxLine - len(f.buf); len(part) > room {
			f.buf, f.long = append(f.buf, part[:max(room, 0)]...), true
		} else {
			f.buf = append(f.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && isTimeout(err):
			return nil, false, err
		default:
			msg, cut := bytes.TrimRight(f.buf, "\r\n\x00"), f.long
			f.buf, f.long = f.buf[:0], false
			return msg, cut, err
		}
	}
}

// count reads the length before a message, if there is one.
func (f *frames) count() error {
	for n := 1; n <= 9; n++ {
		head, err := f.r.Peek(n)
		if err != nil {
			if errors.Is(err, io.EOF) && n > 1 {
				return nil
			}
			return err
		}
		c := head[n-1]
		if n > 1 && c == ' ' {
			size, err := strconv.Atoi(string(head[:n-1]))
			if err != nil || size == 0 {
				return nil
			}
			next, err := f.r.Peek(n + 1)
			if err == nil && next[n] != '<' && next[n] != '{' {
				return nil // a line that begins with a number
			}
			if _, err := f.r.Discard(n); err != nil {
				return err
			}
			f.want = min(size, logs.MaxLine)
			f.skip = size - f.want
			return nil
		}
		if c < '0' || c > '9' || n == 1 && c == '0' {
			return nil
		}
	}
	return nil
}

func (f *frames) counted() (msg []byte, cut bool, err error) {
	for f.want > 0 {
		// Peek what is there: a message in one piece needs no copy.
		if len(f.buf) == 0 && f.want <= f.r.Buffered() && f.skip == 0 {
			part, err := f.r.Peek(f.want)
			if err != nil {
				return nil, false, err
			}
			if _, err := f.r.Discard(f.want); err != nil {
				return nil, false, err
			}
			f.want = 0
			return bytes.TrimRight(part, "\r\n\x00"), false, nil
		}
		if f.r.Buffered() == 0 {
			if _, err := f.r.Peek(1); err != nil {
				if !isTimeout(err) {
					msg = f.buf
					f.buf, f.want, f.skip = nil, 0, 0
				}
				return msg, false, err
			}
		}
		n := min(f.want, f.r.Buffered())
		part, err := f.r.Peek(n)
		if err != nil {
			return nil, false, err
		}
		f.buf = append(f.buf, part...)
		f.want -= n
		if _, err := f.r.Discard(n); err != nil {
			return nil, false, err
		}
	}
	for f.skip > 0 {
		n, err := f.r.Discard(min(f.skip, 64<<10))
		cut = true
		if f.skip -= n; err != nil {
			return nil, false, err
		}
	}
	msg = bytes.TrimRight(f.buf, "\r\n\x00")
	f.buf = f.buf[:0]
	return msg, cut, nil
}

// http takes lines of JSON by POST.
func (s *server) http(ctx context.Context, l net.Listener, conf *tls.Config) error {
	srv := &http.Server{
		Handler: http.HandlerFunc(s.post), TLSConfig: conf, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.env.Log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(l, "", "") }()
	select {
	case err := <-done:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(end)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	<-done
	return err
}

// answer is what a client gets: only what is in accepted is minewarden's care from then on.
type answer struct {
	Accepted int    `json:"accepted"`
	Rejected int    `json:"rejected"`
	Error    string `json:"error,omitempty"` // of the first line that was rejected
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	peer := r.RemoteAddr
	if h, _, err := net.SplitHostPort(peer); err == nil {
		peer = h
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST lines of JSON", http.StatusMethodNotAllowed)
		return
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, "the body is no gzip", http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	dec := s.decoder(peer)
	out := s.out(peer)
	var a answer
	reject := func(err error) {
		if a.Rejected++; a.Error == "" {
			a.Error = err.Error()
		}
	}
	lines := logs.NewLines(body)
	status := http.StatusOK
	for {
		line, _, _, cut, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			reject(err)
			status = http.StatusBadRequest
			break
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if cut {
			reject(fmt.Errorf("a line is longer than %d KiB", logs.MaxLine>>10))
			continue
		}
		if err := dec.Line(line, out); err != nil {
			reject(err)
			continue
		}
		a.Accepted++
	}
	dec.Flush(out)
	if a.Accepted == 0 && a.Rejected > 0 {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(a); err != nil {
		s.fault(peer, err)
	}
}
