package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bootTime is how long a machine may take until it answers: half a minute in software emulation, on a host that does nothing else.
const bootTime = 10 * time.Minute

// A machine is a booted Debian. Its disk outlives a stop.
type machine struct {
	dir, name string
	qemu      *exec.Cmd
	exited    chan struct{}
	conn      net.Conn
	answers   chan answer
	boots     chan string
	boot      string
	asked     int
}

// newMachine makes a machine with a fresh disk, which does not run yet.
func newMachine(ctx context.Context, dir, name string) (*machine, error) {
	m := &machine{dir: dir, name: name}
	if out, err := exec.CommandContext(ctx, "cp", "--sparse=always", "--reflink=auto", filepath.Join(dir, "base.img"), m.path("img")).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("disk of %s: %w: %s", name, err, out)
	}
	return m, nil
}

func (m *machine) path(ending string) string { return filepath.Join(m.dir, m.name+"."+ending) }

// start switches it on and waits until it answers. Nothing but loopback of the host reaches its network: the card is restricted.
func (m *machine) start(ctx context.Context) error {
	socket := m.path("sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	serial, err := os.OpenFile(m.path("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer serial.Close()
	m.qemu = exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2", "-m", "3072", "-nographic", "-no-user-config", "-monitor", "none",
		"-serial", "stdio", "-kernel", filepath.Join(m.dir, "vmlinuz"), "-initrd", filepath.Join(m.dir, "initrd"),
		"-append", "console=ttyS0 root=/dev/vda rw quiet net.ifnames=0 systemd.show_status=0 panic=10",
		"-drive", "file="+m.path("img")+",if=virtio,format=raw,cache=writeback",
		"-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n",
		"-virtfs", "local,path="+filepath.Join(m.dir, "host")+",mount_tag=host,security_model=none,readonly=on",
		"-device", "virtio-serial", "-chardev", "socket,id=bench,path="+socket+",server=on,wait=off", "-device", "virtserialport,chardev=bench,name=bench")
	m.qemu.Stdout, m.qemu.Stderr = serial, serial
	if err := m.qemu.Start(); err != nil {
		return err
	}
	m.exited = make(chan struct{})
	go func(q *exec.Cmd, exited chan struct{}) {
		_ = q.Wait() // its end is all that matters: it is killed when the plug is pulled
		close(exited)
	}(m.qemu, m.exited)
	m.answers, m.boots = make(chan answer, 16), make(chan string, 16)
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if m.conn, err = net.Dial("unix", socket); err == nil {
			break
		}
		if time.Now().After(until) {
			return errors.Join(fmt.Errorf("%s does not start: %w", m.name, err), m.unplug())
		}
	}
	go m.read(m.conn, m.answers, m.boots)
	return m.awaitBoot(ctx)
}

func (m *machine) read(conn net.Conn, answers chan<- answer, boots chan<- string) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 2*outputLimit)
	for lines.Scan() {
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			continue // cut off by a reset
		}
		if a.Boot != "" {
			boots <- a.Boot
			continue
		}
		answers <- a
	}
}

// awaitBoot waits until it answers in a boot that was not seen before, and then until systemd has started what it starts.
func (m *machine) awaitBoot(ctx context.Context) error {
	late := time.After(bootTime)
	for {
		select {
		case b := <-m.boots:
			if b == m.boot {
				continue
			}
			m.boot = b
			_, _, err := m.sh(ctx, bootTime, "systemctl is-system-running --wait; mountpoint -q /host || mount -t 9p -o trans=virtio,version=9p2000.L,ro host /host")
			return err
		case <-late:
			return fmt.Errorf("%s did not boot within %s: see %s", m.name, bootTime, m.path("log"))
		case <-m.exited:
			return fmt.Errorf("%s ended while it booted: see %s", m.name, m.path("log"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sh runs a command of the guest's shell and returns what it printed and its exit code.
func (m *machine) sh(ctx context.Context, timeout time.Duration, command string) (string, int, error) {
	m.asked++
	q := request{ID: strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(m.asked), Command: command, Timeout: timeout}
	line, err := json.Marshal(q)
	if err != nil {
		return "", -1, err
	}
	if _, err := m.conn.Write(append(line, '\n')); err != nil {
		return "", -1, fmt.Errorf("%s: ask: %w", m.name, err)
	}
	late := time.After(timeout + 30*time.Second)
	for {
		select {
		case a := <-m.answers:
			if a.ID != q.ID {
				continue
			}
			if a.Error != "" {
				return a.Out, a.Code, fmt.Errorf("%s: %s: %s", m.name, command, a.Error)
			}
			return strings.TrimRight(a.Out, "\n"), a.Code, nil
		case <-late:
			return "", -1, fmt.Errorf("%s: %s: no answer", m.name, command)
		case <-m.exited:
			return "", -1, fmt.Errorf("%s: %s: the machine is off", m.name, command)
		case <-ctx.Done():
			return "", -1, ctx.Err()
		}
	}
}

// send runs a command whose answer nobody waits for: the machine may go off meanwhile.
func (m *machine) send(command string) error {
	line, err := json.Marshal(request{ID: "-", Command: command, Timeout: time.Hour})
	if err != nil {
		return err
	}
	_, err = m.conn.Write(append(line, '\n'))
	return err
}

// reboot restarts it in order.
func (m *machine) reboot(ctx context.Context) error {
	if err := m.send("systemctl reboot"); err != nil {
		return err
	}
	return m.awaitBoot(ctx)
}

// unplug cuts its power: what the guest did not write to its disk is lost.
func (m *machine) unplug() error {
	if m.conn != nil {
		m.conn.Close()
	}
	if m.qemu == nil {
		return nil
	}
	err := m.qemu.Process.Kill()
	<-m.exited
	m.qemu = nil
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
