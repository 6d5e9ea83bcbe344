package exposed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/probe"
)

// A Service is one product. It is asked over HTTP, or on a plain connection where Path is empty.
type Service struct {
	Name  string
	Path  string   // asked with GET; changes nothing on any server
	Ports []uint16 // where it listens by default
	// Match judges the answer to Path: known tells that it is this product, open that a stranger got what only the owner should.
	Match func(r *probe.Response) (open, known bool)
	// Confirm asks a known service that Match could not find open; nil where Match says it all.
	Confirm func(ctx context.Context, c *probe.Client) (*probe.Response, bool, error)

	message  []byte
	answer   func(b []byte) (open, known bool, says string)
	severity minewarden.Severity
	why      string
}

// Services returns all that are known here.
func Services() []Service {
	const critical, high = minewarden.Critical, minewarden.High
	return []Service{
		{Name: "jenkins", Path: "/script", Ports: []uint16{8080}, Match: jenkins, severity: critical, why: "The script console runs any command; miners were started through it since 2017."},
		{Name: "ray", Path: "/api/version", Ports: []uint16{8265}, Match: words("ray_version", "ray_commit"), severity: critical, why: "Whoever reaches Ray's dashboard submits jobs: ShadowRay mined on clusters found this way."},
		{Name: "jupyter", Path: "/api/contents?content=0", Ports: []uint16{8888}, Match: jupyter, severity: critical, why: "A notebook server without a token is a shell."},
		{Name: "selenium", Path: "/wd/hub/status", Ports: []uint16{4444}, Match: selenium, severity: high, why: "SeleniumGreed starts a browser that is a Python program, and that is a miner."},
		{Name: "registry", Path: "/v2/_catalog?n=1", Ports: []uint16{5000}, Match: registry, severity: high, why: "An open registry gives images away, and often takes changed ones."},
		{Name: "etcd", Path: "/version", Ports: []uint16{2379}, Match: etcd, Confirm: etcdRange, severity: critical, why: "Etcd holds the secrets of the cluster."},
		{Name: "kubelet", Path: "/pods", Ports: []uint16{10250, 10255}, Match: words("\"kind\":\"PodList\""), severity: critical, why: "Hildegard entered its first pod through an anonymous kubelet."},
		{Name: "kubernetes", Path: "/api/v1/namespaces?limit=1", Ports: []uint16{6443}, Match: kubernetes, severity: critical, why: "Who lists namespaces without a name has rights that nobody meant to give."},
		{Name: "redis", Ports: []uint16{6379}, message: []byte("PING\r\n"), answer: redis, severity: critical, why: "Redis without a password writes cron lines and ssh keys for whoever asks."},
		{Name: "postgres", Ports: []uint16{5432}, message: startup(), answer: postgres, severity: critical, why: "PostgreSQL that trusts everyone runs programs through COPY: PG_MEM and others mine this way."},
	}
}

// words matches an answer of 200 that holds them all; a proxy's page holds none. It knows the product only when it is open.
func words(all ...string) func(*probe.Response) (open, known bool) {
	return func(r *probe.Response) (bool, bool) {
		ok := r.Status == http.StatusOK && holds(r, all...)
		return ok, ok
	}
}

func holds(r *probe.Response, all ...string) bool {
	body := strings.ReplaceAll(string(r.Body), "\": \"", "\":\"")
	for _, word := range all {
		if !strings.Contains(body, word) {
			return false
		}
	}
	return true
}

func jenkins(r *probe.Response) (open, known bool) {
	open = r.Status == http.StatusOK && holds(r, "Script Console", "Groovy")
	return open, open || r.Header.Get("X-Jenkins") != ""
}

func jupyter(r *probe.Response) (open, known bool) {
	var dir struct {
		Type     string
		Writable *bool
	}
	open = r.Status == http.StatusOK && r.JSON(&dir) == nil && dir.Type == "directory" && dir.Writable != nil
	return open, open || r.Status == http.StatusForbidden && strings.HasPrefix(r.Header.Get("Server"), "TornadoServer/") && holds(r, "Forbidden")
}

func selenium(r *probe.Response) (open, known bool) {
	var status struct{ Value struct{ Ready *bool } }
	ok := r.Status == http.StatusOK && r.JSON(&status) == nil && status.Value.Ready != nil
	return ok, ok
}

func registry(r *probe.Response) (open, known bool) {
	var catalog struct{ Repositories *[]string }
	open = r.Status == http.StatusOK && r.JSON(&catalog) == nil && catalog.Repositories != nil
	return open, open || strings.HasPrefix(r.Header.Get("Docker-Distribution-Api-Version"), "registry/")
}

func etcd(r *probe.Response) (open, known bool) {
	return false, r.Status == http.StatusOK && holds(r, "\"etcdserver\"")
}

// etcdRange reads at most the name of one key, over version 3 and then version 2 of the interface.
func etcdRange(ctx context.Context, c *probe.Client) (*probe.Response, bool, error) {
	r, err := c.Do(ctx, probe.Request{Method: http.MethodPost, Path: "/v3/kv/range", Body: []byte(`{"key":"AA==","range_end":"AA==","limit":"1","keys_only":true}`)})
	if err != nil || r.Status != http.StatusNotFound {
		return r, err == nil && r.Status == http.StatusOK && holds(r, "\"cluster_id\""), err
	}
	r, err = c.Get(ctx, "/v2/keys/?limit=1")
	return r, err == nil && r.Status == http.StatusOK && holds(r, "\"action\"", "\"node\""), err
}

func kubernetes(r *probe.Response) (open, known bool) {
	open = r.Status == http.StatusOK && holds(r, "NamespaceList")
	return open, open || (r.Status == http.StatusUnauthorized || r.Status == http.StatusForbidden) && holds(r, "\"kind\":\"Status\"", "\"apiVersion\":\"v1\"")
}

// Talk says the service's first words on c and judges the answer. It ends by the deadline of c or ctx.
func (s Service) Talk(ctx context.Context, c net.Conn) (open, known bool, says string, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return false, false, "", err
		}
	}
	if _, err := c.Write(s.message); err != nil {
		return false, false, "", err
	}
	buf := make([]byte, 512)
	n, err := io.ReadAtLeast(c, buf, 5)
	if err != nil && (n == 0 || !errors.Is(err, io.ErrUnexpectedEOF)) {
		return false, false, "", err
	}
	open, known, says = s.answer(buf[:n])
	return open, known, says, nil
}

func redis(b []byte) (open, known bool, says string) {
	line, _, _ := strings.Cut(string(b), "\r\n")
	switch {
	case line == "+PONG":
		return true, true, line
	case strings.HasPrefix(line, "-NOAUTH"), strings.HasPrefix(line, "-DENIED"), strings.HasPrefix(line, "-WRONGPASS"):
		return false, true, line
	}
	return false, false, ""
}

// startup is the first message of PostgreSQL's protocol 3.0, as user postgres; no query follows.
func startup() []byte {
	body := []byte("\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00")
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

func postgres(b []byte) (open, known bool, says string) {
	switch {
	case len(b) >= 9 && b[0] == 'R':
		method := binary.BigEndian.Uint32(b[5:9])
		return method == 0, true, fmt.Sprintf("authentication request %d", method)
	case len(b) >= 5 && b[0] == 'E' && strings.Contains(string(b), "28000"):
		return false, true, "no entry of pg_hba.conf for this host"
	}
	return false, false, ""
}
