package network

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/internal/proc"
)

// inside says that this process has a network, mounts and a cgroup of its own, which is the value.
const inside = "MINEWARDEN_TEST_CGROUP"

// TestMain runs root's tests in namespaces and a cgroup of their own: nothing of the host's firewall, network or processes can
// be touched by them, and all of it is gone when they end.
func TestMain(m *testing.M) {
	if os.Getenv(holding) != "" {
		if err := holdPool(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {} // until it is killed
	}
	// The workers of a fuzz run share descriptors with their parent; fuzz targets touch nothing.
	fuzzing := slices.ContainsFunc(os.Args, func(a string) bool {
		return strings.HasPrefix(a, "-test.fuzz") && !strings.HasPrefix(a, "-test.fuzzcachedir")
	})
	if os.Geteuid() != 0 || fuzzing || os.Getenv(inside) != "" {
		if os.Getenv(inside) != "" {
			if err := furnish(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		os.Exit(m.Run())
	}
	code, err := enclosed()
	if err != nil {
		fmt.Fprintln(os.Stderr, "run the tests in namespaces of their own:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func enclosed() (code int, err error) {
	mounts, err := proc.CgroupMounts()
	if err != nil {
		return 1, err
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	group := "none"
	if mounts.V2 != "" {
		if group, err = os.MkdirTemp(mounts.V2, "minewarden-test-"); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, os.Remove(group)) }()
		dir, err := os.Open(group)
		if err != nil {
			return 1, err
		}
		defer dir.Close()
		attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"="+group)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = os.Stdin, os.Stdout, os.Stderr, attr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	} else if err != nil {
		return 1, err
	}
	return 0, nil
}

// addresses are what tests talk to: they are this namespace's own, and stand for foreign ones.
var addresses = []string{"198.51.100.1/32", "198.51.100.2/32", "203.0.113.7/32", "10.99.0.2/32", "2001:db8::7/128"}

func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(lo, addr); err != nil {
			return fmt.Errorf("add %s: %w", a, err)
		}
	}
	return nil
}

// bpffs mounts one that only this test sees.
func bpffs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal("mount bpffs: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "pins")
}
