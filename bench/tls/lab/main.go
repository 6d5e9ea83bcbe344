// Command lab records the shape of long-lived TLS sessions over loopback, mining and honest, each in real time: who sent how
// much when. No proof of work is done: the miners speak their dialects with a pool that accepts everything. The servers of MQTT,
// Redis and NATS are the real ones where they are installed.
//
//	go run ./bench/tls/lab -for 4m10s -seed 1 -out bench/tls/sessions-1.jsonl.gz
package main

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A session is one line of the recording.
type session struct {
	Mining   bool       `json:"mining"`
	App      string     `json:"app"`
	Messages [][3]int64 `json:"messages"` // milliseconds after the first, 1 for the client's, bytes of the record
}

// A lab is what the sessions share.
type lab struct {
	until  time.Time
	server *tls.Config
	client *tls.Config
	cert   string // files, for servers that are programs of their own
	key    string
	dir    string
	mu     sync.Mutex
	all    []*session
	wg     sync.WaitGroup
	errs   int
}

// A tap is the client's end of a connection. It cuts both directions into TLS records and notes those of application data.
type tap struct {
	net.Conn
	mu    *sync.Mutex
	s     *session
	start time.Time
	dir   [2]struct {
		head  [5]byte
		n     int
		left  int
		began bool
	}
}

func (t *tap) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.note(0, b[:n])
	return n, err
}

func (t *tap) Write(b []byte) (int, error) {
	t.note(1, b)
	return t.Conn.Write(b)
}

func (t *tap) note(who int64, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := &t.dir[who]
	for len(b) > 0 {
		if d.left > 0 {
			k := min(d.left, len(b))
			d.left -= k
			b = b[k:]
			continue
		}
		if !d.began && b[0] != 0x16 { // what comes before the upgrade of PostgreSQL and NATS
			b = b[1:]
			continue
		}
		d.began = true
		d.head[d.n] = b[0]
		d.n++
		b = b[1:]
		if d.n < 5 {
			continue
		}
		d.n = 0
		d.left = int(d.head[3])<<8 | int(d.head[4])
		if d.head[0] == 23 {
			t.s.Messages = append(t.s.Messages, [3]int64{time.Since(t.start).Milliseconds(), who, int64(d.left)})
		}
	}
}

// dial opens a recorded connection, without TLS: the caller or its library adds that.
func (l *lab) dial(addr, app string, mining bool) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &session{Mining: mining, App: app}
	l.mu.Lock()
	l.all = append(l.all, s)
	l.mu.Unlock()
	return &tap{Conn: c, mu: &l.mu, s: s, start: time.Now()}, nil
}

// secure adds TLS, of one of the two versions.
func (l *lab) secure(c net.Conn, r *mrand.Rand) *tls.Conn {
	conf := l.client.Clone()
	if r.IntN(4) == 0 {
		conf.MaxVersion = tls.VersionTLS12
	}
	return tls.Client(c, conf)
}

// serve runs handle for each connection to a new TLS server, and returns its address.
func (l *lab) serve(handle func(net.Conn)) string {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", l.server)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
	return ln.Addr().String()
}

// go_ runs one session in its own goroutine, a little after the others.
func (l *lab) go_(seed uint64, run func(*mrand.Rand) error) {
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		r := mrand.New(mrand.NewPCG(seed, 77))
		time.Sleep(time.Duration(r.IntN(8000)) * time.Millisecond)
		if err := run(r); err != nil && time.Until(l.until) > 5*time.Second {
			l.mu.Lock()
			l.errs++
			if l.errs < 10 {
				log.Print(err)
			}
			l.mu.Unlock()
		}
	}()
}

// wait sleeps for d, or until the end, and says whether there is time left.
func (l *lab) wait(d time.Duration) bool {
	time.Sleep(min(d, max(0, time.Until(l.until))))
	return time.Now().Before(l.until)
}

// random waits: an exponential one has the rhythm of chance, a jittered one that of a timer.
func exponential(r *mrand.Rand, mean time.Duration) time.Duration {
	return time.Duration(r.ExpFloat64() * float64(mean))
}

func jittered(r *mrand.Rand, mean time.Duration, by float64) time.Duration {
	return time.Duration(float64(mean) * (1 + by*(2*r.Float64()-1)))
}

func certificate(dir string) (cert tls.Certificate, certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM, keyPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
	if err = os.WriteFile(certFile, certPEM, 0o644); err != nil {
		return
	}
	if err = os.WriteFile(keyFile, keyPEM, 0o644); err != nil {
		return
	}
	cert, err = tls.X509KeyPair(certPEM, keyPEM)
	return
}

func main() {
	length := flag.Duration("for", 250*time.Second, "how long each session lasts")
	seed := flag.Uint64("seed", 1, "of all random choices")
	out := flag.String("out", "sessions.jsonl.gz", "the recording")
	miners := flag.Int("miners", 60, "mining sessions")
	honest := flag.Int("honest", 320, "honest sessions")
	flag.Parse()
	if err := run(*length, *seed, *out, *miners, *honest); err != nil {
		log.Fatal(err)
	}
}

func run(length time.Duration, seed uint64, out string, miners, honest int) error {
	dir, err := os.MkdirTemp("", "tlslab")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{until: time.Now().Add(length + 8*time.Second), dir: dir}
	cert, certFile, keyFile, err := certificate(dir)
	if err != nil {
		return err
	}
	l.cert, l.key = certFile, keyFile
	l.server = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	l.client = &tls.Config{InsecureSkipVerify: true}
	stop, apps, err := l.honest()
	defer stop()
	if err != nil {
		return err
	}
	pool := l.serve(func(c net.Conn) { l.pool(c) })
	for i := range miners {
		l.go_(seed*1000+uint64(i), func(r *mrand.Rand) error { return l.miner(r, pool) })
	}
	for i := range honest {
		app := apps[i%len(apps)]
		l.go_(seed*100000+uint64(i), app)
	}
	l.wg.Wait()
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	enc := json.NewEncoder(z)
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[string]int{}
	for _, s := range l.all {
		if len(s.Messages) < 4 {
			continue
		}
		n[s.App]++
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
	fmt.Println(n, "errors:", l.errs)
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}
