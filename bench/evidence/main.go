// Command evidence measures how long it takes to collect a miner of 2 GiB, what that costs, and whether a changed bit is found;
// beside gdb's gcore with sha256sum where these are installed. Run it as root from the root of the repository.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/evidence"
	"github.com/minewarden/minewarden/responders/evidence/vault"
)

const childEnv = "MINEWARDEN_BENCH_EVIDENCE"

func main() {
	dir := flag.String("dir", os.TempDir(), "where evidence is written: a file system with some GiB free")
	table := flag.Int("mib", 2048, "size of the miner's table")
	flips := flag.Int("flips", 20, "bits that are changed, each found by itself")
	flag.Parse()
	var err error
	switch os.Getenv(childEnv) {
	case "miner":
		err = miner(*table)
	case "collect":
		err = collect(*dir, flag.Args())
	default:
		err = run(*dir, *table, *flips)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "evidence:", err)
		os.Exit(1)
	}
}

// miner fills a table as RandomX does: no byte of it can be compressed. With "mine" it goes on reading it on every core.
func miner(mib int) error {
	b, err := unix.Mmap(-1, 0, mib<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	if _, err := rand.NewChaCha8([32]byte{1}).Read(b); err != nil {
		return err
	}
	jit, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	for i := range jit {
		jit[i] = byte(i % 251)
	}
	fmt.Println("ready")
	if flag.Arg(0) != "mine" {
		select {}
	}
	for range 4 {
		go func() {
			x := uint64(1)
			for i := range uint64(1 << 62) {
				x = x*6364136223846793005 + uint64(b[(x^i)%uint64(len(b))])
			}
		}()
	}
	select {}
}

func startMiner(ctx context.Context, mib int, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"-mib", fmt.Sprint(mib)}, args...)...)
	cmd.Env = append(os.Environ(), childEnv+"=miner")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	return cmd, err
}

// collect runs in a process of its own, so that its cost can be told.
func collect(dir string, args []string) error {
	var pid int32
	if _, err := fmt.Sscan(args[0], &pid); err != nil {
		return err
	}
	r, err := evidence.New(minewarden.Env{Data: dir})
	if err != nil {
		return err
	}
	s, err := proc.ReadStat(pid)
	if err != nil {
		return err
	}
	inc := minewarden.Incident{ID: "bench", Opened: time.Now(), Updated: time.Now()}
	inc.Members = []minewarden.Member{{Key: minewarden.ProcessKey{PID: s.PID, Start: s.Start}}}
	actions, err := r.Plan(context.Background(), inc)
	if err != nil {
		return err
	}
	a := actions[0]
	a.Params[evidence.ParamMemory], a.Params[evidence.ParamHold] = evidence.MemoryWhole, args[1]
	receipt, err := r.Do(context.Background(), a)
	if err == nil && !receipt.OK {
		err = errors.New(receipt.Result)
	}
	fmt.Println(receipt.State["dir"])
	fmt.Fprintln(os.Stderr, receipt.Result)
	return err
}

// cost is what a command took.
type cost struct {
	wall, cpu time.Duration
	peak      int64 // KiB
	out       string
}

func timed(cmd *exec.Cmd) (cost, error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	began := time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(began), out: strings.TrimSpace(out.String())}
	if cmd.ProcessState != nil {
		c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			c.peak = u.Maxrss
		}
	}
	return c, err
}

func (c cost) String() string {
	return fmt.Sprintf("%.1f s | %.1f s | %.2f | %d MiB", c.wall.Seconds(), c.cpu.Seconds(), c.cpu.Seconds()/c.wall.Seconds(), c.peak>>10)
}

func run(dir string, mib, flips int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	work, err := os.MkdirTemp(dir, "minewarden-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("| a miner of %d MiB | time | processor | cores | peak memory |\n|---|---|---|---|---|\n", mib)
	last := ""
	for _, c := range []struct{ name, hold, arg string }{{"stands still", "no", ""}, {"held while it mines on every core", "yes", "mine"}, {"mines on every core meanwhile", "no", "mine"}} {
		m, err := startMiner(ctx, mib, c.arg)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, self, "-dir", work, fmt.Sprint(m.Process.Pid), c.hold)
		cmd.Env = append(os.Environ(), childEnv+"=collect")
		if last != "" {
			os.RemoveAll(filepath.Join(work, "evidence"))
		}
		took, err := timed(cmd)
		if err == nil {
			fmt.Printf("| %s | %s |\n", c.name, took)
		}
		if c.name == "stands still" {
			err = errors.Join(err, peer(ctx, work, m.Process.Pid))
		}
		m.Process.Kill() //nolint:errcheck // it is gone when this fails
		m.Wait()         //nolint:errcheck // it was killed
		if err != nil {
			return err
		}
		last = took.out
	}
	return tamper(ctx, last, vault.Beside(work), flips)
}

// peer does the same with what an administrator has.
func peer(ctx context.Context, work string, pid int) error {
	if _, err := exec.LookPath("gcore"); err != nil {
		fmt.Println("| gcore is not installed | | | | |")
		return nil
	}
	sh := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf("gcore -o %s/core %d >/dev/null 2>&1; sha256sum %s/core.%d >/dev/null; sync -d %s/core.%d", work, pid, work, pid, work, pid))
	c, err := timed(sh)
	if err != nil {
		return fmt.Errorf("gcore: %w", err)
	}
	fmt.Printf("| gcore, sha256sum and sync, the same miner | %s |\n", c)
	return os.Remove(fmt.Sprintf("%s/core.%d", work, pid))
}

// tamper changes bits of a collection, one after the other, and verifies each time.
func tamper(ctx context.Context, dir string, v vault.Vault, flips int) error {
	pub, err := v.PublicKey()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	began := time.Now()
	r, err := vault.Verify(ctx, dir, pub)
	if err != nil || !r.OK() {
		return fmt.Errorf("verify: %v %w", r.Faults, err)
	}
	fmt.Printf("\nVerifying %d parts of %d MiB took %.1f s.", r.Parts, r.Bytes>>20, time.Since(began).Seconds())
	found, done := 0, 0
	for done < flips {
		for _, e := range entries {
			hit, err := flip(filepath.Join(dir, e.Name()), func() (bool, error) {
				r, err := vault.Verify(ctx, dir, pub)
				return !r.OK(), err
			})
			if err != nil {
				return err
			}
			done++
			if hit {
				found++
			}
		}
	}
	fmt.Printf(" Of %d changed bits, in each file at random places, %d were found.\n", done, found)
	if found != done {
		return errors.New("a changed bit was not found")
	}
	return nil
}

func flip(path string, verify func() (bool, error)) (bool, error) {
	if err := os.Chmod(path, 0o600); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	at, b := rand.Int64N(fi.Size()), make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	bit := byte(1) << rand.IntN(8)
	b[0] ^= bit
	if _, err := f.WriteAt(b, at); err != nil {
		return false, err
	}
	hit, err := verify()
	b[0] ^= bit
	_, back := f.WriteAt(b, at)
	return hit, errors.Join(err, back)
}
