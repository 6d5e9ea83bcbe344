package sigma

import (
	"container/list"
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// A watch is the memory of one correlation: its groups, the one longest silent last.
type watch struct {
	rule   *Rule
	groups map[string]*list.Element
	order  *list.List
	total  int
	key    []byte
}

// A window is the matches of one group within the time span.
type window struct {
	key    string
	labels []string // the values of group-by
	hits   []hit    // oldest first
	counts map[string]int
	sum    float64
	opened time.Time
	quiet  time.Time // no second finding before this
}

type hit struct {
	at     time.Time
	member int
	text   string
	num    float64
}

func newWatch(r *Rule) *watch {
	return &watch{rule: r, groups: map[string]*list.Element{}, order: list.New()}
}

// outcome is a correlation that held.
type outcome struct {
	win   *window
	value float64
	loud  bool // worth a finding; otherwise only other correlations hear of it
	first time.Time
}

// add counts a match of one member. The matcher still holds its event.
func (w *watch) add(now time.Time, m *Matcher, i int) (outcome, bool) {
	c := w.rule.correlation
	win := w.window(now, m, &c.members[i])
	if win == nil {
		return outcome{}, false
	}
	h := hit{at: now, member: i}
	if !h.read(m, c, &c.members[i]) {
		return outcome{}, false
	}
	var out outcome
	ended := false
	if c.atEnd() && len(win.hits) > 0 && now.Sub(win.opened) >= c.span {
		out, ended = w.end(win)
	}
	w.push(win, h)
	if c.atEnd() {
		return out, ended
	}
	w.expire(win, now.Add(-c.span))
	v, ok := win.measure(c)
	if !ok || !c.holds(v) {
		return outcome{}, false
	}
	out = outcome{win: win, value: v, loud: !now.Before(win.quiet), first: win.hits[0].at}
	if out.loud {
		win.quiet = now.Add(c.span)
	}
	return out, true
}

// tick ends the windows whose time is over.
func (w *watch) tick(now time.Time, emit func(outcome)) {
	span := w.rule.correlation.span
	for e := w.order.Back(); e != nil; {
		win := e.Value.(*window)
		before := e.Prev()
		if n := len(win.hits); n > 0 && now.Sub(win.hits[n-1].at) < span && now.Sub(win.opened) < span {
			break
		}
		if w.rule.correlation.atEnd() {
			if now.Sub(win.opened) < span {
				e = before
				continue
			}
			if out, ok := w.end(win); ok {
				emit(out)
			}
		} else {
			w.expire(win, now.Add(-span))
		}
		if len(win.hits) == 0 && now.After(win.quiet) {
			w.drop(e)
		}
		e = before
	}
}

// end judges a window that is over and empties it.
func (w *watch) end(win *window) (outcome, bool) {
	c := w.rule.correlation
	v, ok := win.measure(c)
	var first time.Time
	if len(win.hits) > 0 {
		first = win.hits[0].at
	}
	w.total -= len(win.hits)
	win.hits, win.sum = win.hits[:0], 0
	clear(win.counts)
	return outcome{win: win, value: v, loud: true, first: first}, ok && c.holds(v)
}

// window returns the group that the event belongs to, or nil where it has no value to group by.
func (w *watch) window(now time.Time, m *Matcher, mb *member) *window {
	w.key = w.key[:0]
	for _, id := range mb.keys {
		v, ok := m.get(id)
		if !ok {
			return nil
		}
		v = v[:min(len(v), maxGroupValue)]
		w.key = strconv.AppendInt(w.key, int64(len(v)), 10)
		w.key = append(append(w.key, ':'), v...)
	}
	if e := w.groups[string(w.key)]; e != nil {
		w.order.MoveToFront(e)
		return e.Value.(*window)
	}
	for len(w.groups) >= maxGroups || w.total >= maxTotal {
		w.drop(w.order.Back())
	}
	win := &window{key: string(w.key), opened: now}
	for _, id := range mb.keys {
		v, _ := m.get(id)
		win.labels = append(win.labels, clip(v))
	}
	w.groups[win.key] = w.order.PushFront(win)
	return win
}

func (w *watch) drop(e *list.Element) {
	win := w.order.Remove(e).(*window)
	w.total -= len(win.hits)
	delete(w.groups, win.key)
}

// read takes what is counted from the event; false where the event does not have it.
func (h *hit) read(m *Matcher, c *correlation, mb *member) bool {
	switch c.kind {
	case "value_count":
		for _, id := range mb.values {
			v, ok := m.get(id)
			if !ok {
				return false
			}
			v = v[:min(len(v), maxGroupValue)]
			h.text += strconv.Itoa(len(v)) + ":" + v
		}
	case "value_sum", "value_avg", "value_percentile":
		v, ok := m.get(mb.values[0])
		if !ok {
			return false
		}
		h.num, ok = parseNumber(v)
		return ok
	}
	return true
}

func (w *watch) push(win *window, h hit) {
	c := w.rule.correlation
	if n := len(win.hits); n > 0 && h.at.Before(win.hits[n-1].at) {
		h.at = win.hits[n-1].at // a clock that was set back does not undo order
	}
	limit := maxWindow
	if c.kind == "value_percentile" {
		limit = maxPercentiles
	}
	if len(win.hits) >= limit {
		w.forget(win, 1)
	}
	if len(win.hits) == 0 {
		win.opened = h.at
	}
	if c.kind == "value_count" {
		if win.counts == nil {
			win.counts = map[string]int{}
		}
		win.counts[h.text]++
	}
	win.sum += h.num
	win.hits = append(win.hits, h)
	w.total++
}

// expire forgets matches from before.
func (w *watch) expire(win *window, before time.Time) {
	n := 0
	for n < len(win.hits) && win.hits[n].at.Before(before) {
		n++
	}
	w.forget(win, n)
}

func (w *watch) forget(win *window, n int) {
	if n == 0 {
		return
	}
	for _, h := range win.hits[:n] {
		win.sum -= h.num
		if win.counts != nil {
			if win.counts[h.text]--; win.counts[h.text] <= 0 {
				delete(win.counts, h.text)
			}
		}
	}
	w.total -= n
	win.hits = win.hits[n:] // append moves the rest to a new block once this one is used up
	if len(win.hits) == 0 {
		win.hits, win.sum = nil, 0
	}
}

// measure returns what the condition is about.
func (win *window) measure(c *correlation) (float64, bool) {
	switch c.kind {
	case "event_count":
		return float64(len(win.hits)), true
	case "value_count":
		return float64(len(win.counts)), true
	case "temporal":
		var seen uint64
		for _, h := range win.hits {
			seen |= 1 << h.member
		}
		return float64(bits.OnesCount64(seen)), true
	case "temporal_ordered":
		next := 0
		for _, h := range win.hits {
			if next < len(c.members) && h.member == next {
				next++
			}
		}
		return float64(next), true
	}
	if len(win.hits) == 0 {
		return 0, false
	}
	switch c.kind {
	case "value_sum":
		return win.sum, true
	case "value_avg":
		return win.sum / float64(len(win.hits)), true
	default: // value_percentile, nearest rank
		nums := make([]float64, len(win.hits))
		for i, h := range win.hits {
			nums[i] = h.num
		}
		slices.Sort(nums)
		rank := int(c.percentile/100*float64(len(nums)) + 0.999999)
		return nums[min(max(rank, 1), len(nums))-1], true
	}
}
