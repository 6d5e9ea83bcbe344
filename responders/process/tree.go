package process

import (
	"errors"
	"fmt"
	"slices"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
)

// A tree is the processes of an incident that run now, with their descendants.
type tree struct {
	take    []proc.Stat        // parents before children
	refused []string           // for people
	looked  map[int32]*details // of all in it
}

// grow finds what belongs to roots in all: the processes that still are who they were, their descendants, and the sessions
// that these lead, which holds what forked twice to get away. It does not go on through a protected process.
func grow(roots []minewarden.ProcessKey, all map[int32]proc.Stat, protect Protect) (tree, error) {
	t := tree{looked: map[int32]*details{}}
	g := newGuard(protect, all)
	children, sessions := map[int32][]int32{}, map[int32][]int32{}
	for pid, s := range all {
		children[s.PPID] = append(children[s.PPID], pid)
		sessions[s.Session] = append(sessions[s.Session], pid)
	}
	var queue []int32
	for _, r := range roots {
		if s, ok := all[r.PID]; ok && s.Start == r.Start {
			queue = append(queue, r.PID)
		}
	}
	seen, users := map[int32]bool{}, map[uint32]string{}
	for len(queue) > 0 {
		s := all[queue[0]]
		queue = queue[1:]
		if seen[s.PID] || s.Dead() {
			continue
		}
		seen[s.PID] = true
		d, err := look(s.PID, users)
		if errors.Is(err, proc.ErrGone) {
			continue
		}
		if err != nil {
			return t, err
		}
		t.looked[s.PID] = d
		if why := g.refuses(&s, d); why != "" {
			t.refused = append(t.refused, fmt.Sprintf("pid %d %s: %s", s.PID, printable(s.Comm), why))
			continue
		}
		t.take = append(t.take, s)
		next := children[s.PID]
		if s.Session == s.PID {
			next = slices.Concat(next, sessions[s.PID])
		}
		slices.Sort(next)
		queue = append(queue, next...)
	}
	return t, nil
}

// printable keeps a name that a process gave itself from acting on a terminal.
func printable(s string) string {
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}
