package persistence

import "time"

// fifo remembers when each of its keys was last put; the first one in is the first one out.
type fifo[K comparable] struct {
	at    map[K]time.Time
	order []K
	next  int
	limit int
}

func newFIFO[K comparable](limit int) fifo[K] {
	return fifo[K]{at: make(map[K]time.Time), limit: limit}
}

func (f *fifo[K]) get(k K) (time.Time, bool) {
	t, ok := f.at[k]
	return t, ok
}

func (f *fifo[K]) put(k K, now time.Time) {
	if _, ok := f.at[k]; !ok {
		if len(f.order) < f.limit {
			f.order = append(f.order, k)
		} else {
			delete(f.at, f.order[f.next])
			f.order[f.next] = k
			f.next = (f.next + 1) % f.limit
		}
	}
	f.at[k] = now
}
