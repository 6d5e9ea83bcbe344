package process

import (
	"errors"
	"slices"

	"github.com/minewarden/minewarden/internal/proc"
)

// looks is how often a cgroup whose processes fork is looked at again before it is left to signals.
const looks = 5

// freezeCgroups freezes each cgroup all of whose processes belong to the tree: at once, and nobody can let one of them go on
// by SIGCONT. A cgroup that holds anybody else is left alone.
func (r *run) freezeCgroups(t *tree, mounts proc.Mounts) error {
	tried := map[string]bool{}
	for i := range t.take {
		if in(r.cgroups, t.take[i].PID) {
			continue
		}
		freezers, err := mounts.Freezers(t.take[i].PID)
		if err != nil {
			continue // it ended; the signals find out
		}
		for _, c := range freezers {
			if tried[c.Dir] {
				continue
			}
			tried[c.Dir] = true
			ok, err := r.freezeCgroup(c)
			if err != nil {
				return err
			}
			if ok {
				break
			}
		}
	}
	return nil
}

// freezeCgroup returns whether c is frozen now, by us.
func (r *run) freezeCgroup(c proc.Cgroup) (bool, error) {
	if frozen, err := c.Frozen(); err != nil || frozen {
		if frozen { // somebody else's doing, who may undo it any time: signals as well
			r.foreign = append(r.foreign, c)
		}
		return false, nil
	}
	if ours, err := r.owns(c); err != nil || !ours {
		return false, err
	}
	if err := r.entry.Append(record{Phase: phaseStop, At: r.now(), Held: held{Cgroups: []proc.Cgroup{c}}}); err != nil {
		return false, err
	}
	if err := c.Freeze(freezeWait); err != nil {
		return false, c.Thaw() // signals will do
	}
	// Somebody may have been put into it in between.
	ours, err := r.owns(c)
	if err != nil || !ours {
		return false, errors.Join(err, c.Thaw())
	}
	r.cgroups = append(r.cgroups, c)
	return true, nil
}

// owns reports whether all processes in c belong to the tree. Those may fork while it looks, so it looks again.
func (r *run) owns(c proc.Cgroup) (bool, error) {
	for range looks {
		pids, err := c.PIDs()
		if err != nil || len(pids) == 0 {
			return false, nil // gone, or empty: nothing to freeze by it
		}
		t, err := r.look()
		if err != nil {
			return false, err
		}
		foreign := slices.DeleteFunc(pids, func(pid int32) bool {
			if slices.ContainsFunc(t.take, func(s proc.Stat) bool { return s.PID == pid }) {
				return true
			}
			if t.looked[pid] != nil || pid == 0 {
				return false // protected, or of a pid namespace above
			}
			s, err := proc.ReadStat(pid)
			return err != nil || s.Dead()
		})
		if len(foreign) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// in reports whether one of cgroups holds pid.
func in(cgroups []proc.Cgroup, pid int32) bool {
	return slices.ContainsFunc(cgroups, func(c proc.Cgroup) bool {
		pids, err := c.PIDs()
		return err == nil && slices.Contains(pids, pid)
	})
}
