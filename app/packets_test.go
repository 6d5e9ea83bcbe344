package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/app"
	"github.com/minewarden/minewarden/config"
	"github.com/minewarden/minewarden/console"
	"github.com/minewarden/minewarden/internal/packets"
	"github.com/minewarden/minewarden/internal/sensortest"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

// packetsDir makes this test binary an agent with a miner, alone in a network, that keeps its data there.
const packetsDir = "MINEWARDEN_TEST_PACKETS"

func packetsConfig(dir string) (*config.Config, error) {
	return config.Parse([]byte("data: " + dir + "\nlisten: \"off\"\ndisable: [sensors/ebpf, sensors/procfs, sensors/files, sensors/journal," +
		" sensors/logfile, sensors/syslog]\nsensors:\n  capture: {loopback: true}\n"))
}

// TestPacketsAreEvidence lets a miner log in to a pool on a wire that an agent listens to, and collects the evidence of its incident.
func TestPacketsAreEvidence(t *testing.T) {
	sensortest.Root(t)
	dir := t.TempDir()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), packetsDir+"="+dir)
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cfg, err := packetsConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	desk, closeDesk, err := app.OpenDesk(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := closeDesk(); err != nil {
			t.Error(err)
		}
	}()
	incidents, err := desk.Incidents(t.Context(), minewarden.Query{})
	if err != nil || len(incidents) == 0 {
		t.Fatalf("%d incidents: %v", len(incidents), err)
	}
	receipt, err := desk.Collect(t.Context(), incidents[0].ID, console.Collect{}, "user a", "test")
	if err != nil || !receipt.OK {
		t.Fatalf("%+v %v", receipt, err)
	}
	report, err := vault.Verify(t.Context(), receipt.State["dir"], nil)
	if err != nil || !report.OK() {
		t.Fatalf("%+v %v", report, err)
	}
	var capture string
	for _, p := range report.Manifest.Parts {
		if p.What != "packets" {
			continue
		}
		capture = filepath.Join(t.TempDir(), "packets.pcap")
		if err := unpack(filepath.Join(receipt.State["dir"], p.File), capture); err != nil {
			t.Fatal(err)
		}
	}
	if capture == "" {
		t.Fatalf("no part has packets: %+v; skipped: %+v", report.Manifest.Parts, report.Manifest.Skipped)
	}
	b, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"method":"login","params":{"login":"` + wallet, `"job_id":"j1","target"`, `"method":"submit"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the packets do not have %s", want)
		}
	}
	if strings.Contains(string(b), "honest") {
		t.Error("the packets have those of a conversation that is not the incident's")
	}
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Log("tshark is not here: it was not asked to read the packets")
		return
	}
	out, err := exec.Command(tshark, "-r", capture, "-Y", "tcp.flags.syn == 1 and tcp.flags.ack == 0", "-T", "fields", "-e", "tcp.dstport").Output()
	if err != nil || !strings.Contains(string(out), poolPort) {
		t.Errorf("tshark: %v: %q", err, out)
	}
}

func unpack(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer dec.Close()
	if b, err = dec.DecodeAll(b, nil); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

// packetsInside speaks to a pool, and to somebody honest, until the agent has kept packets.
func packetsInside(dir string) error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return err
	}
	var answered atomic.Int64
	addr := "127.0.0.1:" + poolPort
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go pool(l, &answered)
	cfg, err := packetsConfig(dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready := make(chan struct{})
	a, err := app.NewAgent(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), app.Notice{Ready: func([]string) { close(ready) }})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-ready
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err := errors.Join(said(addr, "honest"), said(addr, "")); err != nil {
			return err
		}
		kept, err := packets.Files(packets.Dir(dir))
		if err != nil {
			return err
		}
		if len(kept) > 0 {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("no packets are kept")
		}
	}
	stop()
	return errors.Join(<-ended, a.Close())
}

// said logs in and submits a share, or says something else.
func said(addr, other string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if other != "" {
		_, err := io.WriteString(c, other+"\n")
		return err
	}
	r := bufio.NewReader(c)
	for _, line := range []string{
		`{"id":1,"jsonrpc":"2.0","method":"login","params":{"login":"` + wallet + `","pass":"x","agent":"XMRig/6.21.0","algo":["rx/0"]}}`,
		`{"id":2,"jsonrpc":"2.0","method":"submit","params":{"id":"s1","job_id":"j1","nonce":"0a0b0c0d","result":"` + strings.Repeat("ab", 32) + `"}}`,
	} {
		if _, err := fmt.Fprintln(c, line); err != nil {
			return err
		}
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	}
	return nil
}
