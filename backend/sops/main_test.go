package sops

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(programDir)
	events.mu.Lock()
	if events.file != nil || len(events.where)+len(events.dirs) > 0 {
		fmt.Printf("%d subscriptions and %d watches are left behind\n", len(events.where), len(events.dirs))
		code = 1
	}
	events.mu.Unlock()
	os.Exit(code)
}
