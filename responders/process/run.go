package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/journal"
	"golang.org/x/sys/unix"
)

const (
	patience   = time.Second            // for what sleeps in the kernel and may be within fork; then a device is taken to hold it
	budget     = 5 * time.Second        // for all rounds; a tree that outruns it is reported, not chased for ever
	settle     = 250 * time.Millisecond // for one round's processes to stop
	standstill = 20 * time.Millisecond  // two ticks of the CPU clock, over which none may be used
	killWait   = 3 * time.Second
	freezeWait = 800 * time.Millisecond
)

// one is a process as the journal names it.
type one struct {
	PID   int32  `json:"pid"`
	Start uint64 `json:"start"`
}

// held is what an action stopped, and so what undoing it lets go.
type held struct {
	Stopped []one         `json:"stopped,omitempty"`
	Cgroups []proc.Cgroup `json:"cgroups,omitempty"`
}

// release lets all of h go on, and returns how many that were. What ended meanwhile is left alone.
func (h held) release() (int, error) {
	var errs []error
	n := 0
	for _, c := range h.Cgroups {
		n++
		errs = append(errs, c.Thaw())
	}
	for _, o := range slices.Backward(h.Stopped) { // children first: a parent that wakes finds them running
		p, err := proc.Open(o.PID, o.Start)
		if err == nil {
			// To all, for a stop may still wait for one that a cgroup holds or that is inside the kernel.
			n++
			err = errors.Join(p.Signal(unix.SIGCONT), p.Close())
		}
		if err != nil && !errors.Is(err, proc.ErrGone) {
			errs = append(errs, err)
		}
	}
	return n, errors.Join(errs...)
}

// run does one action.
type run struct {
	protect Protect
	roots   []minewarden.ProcessKey
	entry   *journal.Entry[record]
	now     func() time.Time
	began   time.Time

	handles map[int32]*proc.Handle // all in the tree
	order   []int32
	frozen  map[int32]bool // those that a cgroup holds
	before  map[int32]bool // those that were stopped already by somebody else
	cgroups []proc.Cgroup  // frozen by us
	foreign []proc.Cgroup  // that somebody else froze before
	refused []string
}

func (r *run) close() error {
	var errs []error
	for _, h := range r.handles {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

func (r *run) held() held {
	h := held{Cgroups: r.cgroups}
	for _, pid := range r.order {
		if !r.frozen[pid] && !r.before[pid] {
			h.Stopped = append(h.Stopped, one{pid, r.handles[pid].Start})
		}
	}
	return h
}

func (r *run) do(ctx context.Context, op string) (string, error) {
	r.handles, r.frozen, r.before = map[int32]*proc.Handle{}, map[int32]bool{}, map[int32]bool{}
	r.began = time.Now()
	if err := r.freeze(ctx); err != nil {
		return "", err
	}
	if len(r.order) == 0 {
		if len(r.refused) > 0 {
			return "", fmt.Errorf("nothing was touched: %s", strings.Join(r.refused, "; "))
		}
		return "no process of it runs any more", nil
	}
	took := time.Since(r.began).Round(time.Millisecond)
	if op == Freeze {
		return fmt.Sprintf("%s frozen in %s, none of their threads runs", count(len(r.order)), took), nil
	}
	if err := r.kill(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s frozen in %s, then killed; all are gone", count(len(r.order)), took), nil
}

// freeze stops the tree and looks again, until a look at the whole machine that began when all of it stood still finds nothing new.
func (r *run) freeze(ctx context.Context) error {
	mounts, err := proc.CgroupMounts()
	if err != nil {
		return err
	}
	deadline := r.began.Add(budget)
	stood := false // all that is known, at the end of the round before
	for round := 0; ; round++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := r.look()
		if err != nil {
			return err
		}
		r.refused = t.refused
		if round == 0 {
			if err := r.freezeCgroups(&t, mounts); err != nil {
				return err
			}
			// What forked before its cgroup stood still is found by another look.
			if len(r.cgroups) > 0 {
				continue
			}
		}
		fresh, err := r.add(&t)
		if err != nil {
			return err
		}
		if err := r.stop(fresh); err != nil {
			return err
		}
		moving, err := r.moving(settle)
		if err != nil {
			return err
		}
		if stood && len(fresh) == 0 && len(moving) == 0 {
			break
		}
		stood = len(moving) == 0
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s %s stopped, but new ones keep coming or these still run: %v", budget, count(len(r.order)), moving)
		}
	}
	return r.verify()
}

func (r *run) look() (tree, error) {
	all, err := proc.All()
	if err != nil {
		return tree{}, err
	}
	roots := r.roots
	for _, pid := range r.order { // what was stopped goes on being searched, also when its parent ended
		roots = append(roots[:len(roots):len(roots)], minewarden.ProcessKey{PID: pid, Start: r.handles[pid].Start})
	}
	return grow(roots, all, r.protect)
}

// add holds what is new in t, and returns what must be stopped.
func (r *run) add(t *tree) ([]int32, error) {
	var fresh []int32
	for i := range t.take {
		s := &t.take[i]
		if h, ok := r.handles[s.PID]; ok {
			if h.Start == s.Start {
				continue
			}
			if err := h.Close(); err != nil { // the pid is another's now
				return nil, err
			}
			delete(r.handles, s.PID)
			r.order = slices.DeleteFunc(r.order, func(pid int32) bool { return pid == s.PID })
		}
		h, err := proc.Open(s.PID, s.Start)
		if errors.Is(err, proc.ErrGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.handles[s.PID] = h
		r.order = append(r.order, s.PID)
		if in(r.cgroups, s.PID) {
			r.frozen[s.PID] = true
			continue
		}
		if stopped, err := proc.Stopped(s.PID); err == nil && stopped {
			r.before[s.PID] = true
			continue
		}
		fresh = append(fresh, s.PID)
	}
	return fresh, nil
}

// stop writes down whom it will stop, then stops them.
func (r *run) stop(pids []int32) error {
	if len(pids) == 0 {
		return nil
	}
	line := record{Phase: phaseStop, At: r.now()}
	for _, pid := range pids {
		line.Held.Stopped = append(line.Held.Stopped, one{pid, r.handles[pid].Start})
	}
	if err := r.entry.Append(line); err != nil {
		return err
	}
	for _, pid := range pids {
		if err := r.handles[pid].Signal(unix.SIGSTOP); err != nil && !errors.Is(err, proc.ErrGone) {
			return err
		}
	}
	return nil
}

// moving returns those that do not stand still after wait.
func (r *run) moving(wait time.Duration) ([]int32, error) {
	deadline := time.Now().Add(wait)
	for {
		var moving []int32
		for _, pid := range r.order {
			still, err := proc.Still(pid, r.frozen[pid] || in(r.foreign, pid))
			if err == nil && !still && time.Since(r.began) > patience {
				still, err = proc.Blocked(pid)
			}
			if err != nil {
				return nil, err
			}
			if !still {
				moving = append(moving, pid)
			}
		}
		if len(moving) == 0 || time.Now().After(deadline) {
			return moving, nil
		}
		time.Sleep(time.Millisecond)
	}
}

// verify watches that none of them uses the CPU.
func (r *run) verify() error {
	used := make([]uint64, len(r.order))
	for i, pid := range r.order {
		var err error
		if used[i], err = proc.CPU(pid); err != nil {
			return err
		}
	}
	time.Sleep(standstill)
	for i, pid := range r.order {
		now, err := proc.CPU(pid)
		if err != nil {
			return err
		}
		if now > used[i] {
			return fmt.Errorf("pid %d still uses the CPU after it was stopped", pid)
		}
	}
	if moving, err := r.moving(0); err != nil || len(moving) > 0 {
		return errors.Join(err, fmt.Errorf("stopped, but somebody lets them go on: pids %v", moving))
	}
	return nil
}

// kill ends all that freeze holds.
func (r *run) kill() error {
	if err := r.adopt(); err != nil {
		return err
	}
	if err := r.entry.Append(record{Phase: phaseKill, At: r.now(), Held: r.all()}); err != nil {
		return err
	}
	// Children first: when the process dies that ties a process group to its session, the kernel lets all go on that are stopped in it, and what
	// ignores SIGHUP would run until its own turn.
	for _, pid := range slices.Backward(r.order) {
		if err := r.handles[pid].Signal(unix.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
			return err
		}
	}
	// In a frozen v1 cgroup the signal waits until it is thawed; then they die before they run a single instruction.
	for _, c := range r.cgroups {
		if err := c.Thaw(); err != nil {
			return err
		}
	}
	r.cgroups = nil
	deadline := time.Now().Add(killWait)
	var alive []int32
	for _, pid := range r.order {
		gone, err := r.handles[pid].WaitExit(time.Until(deadline))
		if err != nil {
			return err
		}
		if !gone {
			alive = append(alive, pid)
		}
	}
	if len(alive) > 0 {
		return fmt.Errorf("killed, but after %s the kernel still holds pids %v", killWait, alive)
	}
	return nil
}

// adopt takes over cgroups that an earlier action froze and that hold nobody but what is killed: a v1 cgroup keeps the dead in
// until it is thawed, and one that stays frozen would hold whatever is started in it next.
func (r *run) adopt() error {
	for _, c := range r.foreign {
		ours, err := r.owns(c)
		if err != nil {
			return err
		}
		if ours {
			r.cgroups = append(r.cgroups, c)
		}
	}
	return nil
}

// all is everything that the run holds, whoever stopped it.
func (r *run) all() held {
	h := held{Cgroups: r.cgroups}
	for _, pid := range r.order {
		h.Stopped = append(h.Stopped, one{pid, r.handles[pid].Start})
	}
	return h
}
