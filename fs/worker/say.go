package worker

import "github.com/secretfs/secretfs/backend"

// say logs how backends are doing that have changed, where that is news.
func (w *worker) say(names map[string]bool) {
	for name := range names {
		r, ok := w.gate.View().Backends.Lookup(name)
		if !ok {
			delete(w.said, name)
			continue
		}
		st := r.Status()
		now := text(st.Err)
		if st.State == backend.Unread {
			continue // opened anew: nothing is known yet
		}
		if now == w.said[name] {
			continue
		}
		w.said[name] = now
		if st.Err != nil {
			w.log.Warn("reading secrets", "backend", name, "state", st.State, "error", st.Err)
		} else {
			w.log.Info("reading secrets works again", "backend", name)
		}
	}
}
