package playbooks

// DeadlinesOf returns the deadlines of some incidents, in no order: for a page of a list, of which all would be too many.
func (e *Engine) DeadlinesOf(incidents []string) []Due {
	now := e.config.Now()
	want := make(map[string]bool, len(incidents))
	var out []Due
	e.watch.mu.Lock()
	for _, id := range incidents {
		want[id] = true
		if t := e.watch.all[id]; t != nil {
			for _, d := range t.Dues {
				out = append(out, d.stateAt(now))
			}
		}
	}
	e.watch.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.runs {
		if want[r.Incident] {
			for _, d := range r.dues() {
				out = append(out, d.stateAt(now))
			}
		}
	}
	return out
}
