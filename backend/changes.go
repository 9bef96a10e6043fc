package backend

import "sync"

// Changes is what a Notifier embeds: it keeps whom to tell. Its methods are safe
// for concurrent use.
type Changes struct {
	mu      sync.Mutex
	changed func()
}

// Notify has changed called after each change of what is served. Call it before
// the first Get.
func (c *Changes) Notify(changed func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = changed
}

// Tell calls what Notify was given, if anything.
func (c *Changes) Tell() {
	c.mu.Lock()
	changed := c.changed
	c.mu.Unlock()
	if changed != nil {
		changed()
	}
}
