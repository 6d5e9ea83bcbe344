package resource

import "github.com/minewarden/minewarden"

// maxProcesses bounds the table. A state has some 400 bytes, so that a full table has 4 MiB.
const maxProcesses = 8192

// table keeps a state for each process, the first one in being the first one out. It hands out slots of one array, so
// that a process which is known costs no allocation.
type table struct {
	at    map[minewarden.ProcessKey]int32
	slots []state // grows to maxProcesses; slots[0] is the head of the list of those in use, oldest first
	free  int32   // first of the unused, linked by next; 0: none
}

func newTable() table {
	return table{at: make(map[minewarden.ProcessKey]int32), slots: make([]state, 1)}
}

// find returns the process's state, or nil. It is valid until the next call of meet.
func (t *table) find(key minewarden.ProcessKey) *state {
	if i, ok := t.at[key]; ok {
		return &t.slots[i]
	}
	return nil
}

// meet returns the process's state, a new one where there is none.
func (t *table) meet(key minewarden.ProcessKey) *state {
	if s := t.find(key); s != nil {
		return s
	}
	if len(t.at) >= maxProcesses {
		t.forget(t.slots[t.slots[0].next].key)
	}
	i := t.free
	if i != 0 {
		t.free = t.slots[i].next
	} else {
		i = int32(len(t.slots))
		t.slots = append(t.slots, state{})
	}
	last := t.slots[0].prev
	t.slots[i] = state{key: key, prev: last, next: 0}
	t.slots[last].next = i
	t.slots[0].prev = i
	t.at[key] = i
	return &t.slots[i]
}

// forget makes the process unknown.
func (t *table) forget(key minewarden.ProcessKey) {
	i, ok := t.at[key]
	if !ok {
		return
	}
	delete(t.at, key)
	s := &t.slots[i]
	t.slots[s.prev].next = s.next
	t.slots[s.next].prev = s.prev
	*s = state{next: t.free}
	t.free = i
}
