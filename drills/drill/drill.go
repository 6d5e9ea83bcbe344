// Package drill is what drills are made of. A drill emulates one technique of attackers without harm: bounded to 30 seconds, on
// loopback and in a directory of its own, and cleaned up even when it is interrupted.
package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Limit is how long a drill may take.
const Limit = 30 * time.Second

// A Drill is one technique.
type Drill struct {
	Name      string
	Title     string
	Technique []string // ATT&CK ids
	Rules     []string // any of these finds it
	// Run does it and returns when all of it is undone. It ends early when ctx is done.
	Run func(ctx context.Context, env Env) error
	// Child is what a process started by Start does; nil: none. It ends by itself.
	Child func(args []string) error
}

// Env is what a drill may touch.
type Env struct {
	Dir string       // a directory of its own, which the caller makes and removes
	Log *slog.Logger // never nil
}

// Marker is the environment variable that tells a process of this program which drill it belongs to, as NAME:PID with the pid of who
// started it: one that was inherited or left behind means nothing, so that nobody can turn an agent into a drill with it.
const Marker = "MINEWARDEN_DRILL"

// Command returns a command that runs this program, or the copy of it at path, as the child of the named drill. The kernel kills it when the
// thread that started it ends; Wait keeps that thread.
func Command(ctx context.Context, name, path, argv0 string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0] = argv0
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d", Marker, name, os.Getpid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// Wait runs cmd until it ends or ctx does, and kills what is left of its group. That time ran out is how many drills end.
func Wait(ctx context.Context, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	err := cmd.Wait()
	if kill := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); kill != nil && !errors.Is(kill, syscall.ESRCH) {
		return errors.Join(err, fmt.Errorf("end the group of %s: %w", cmd.Path, kill))
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return nil
}

// Self is the file of this program.
const Self = "/proc/self/exe"

// Copy puts a copy of this program at path, which must not exist.
func Copy(path string) (err error) {
	in, err := os.Open(Self)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
