// Package demo shows a newcomer what secretfs does, on the machine at hand and
// with nothing made up: it encrypts with the real sops, mounts, reads, is
// refused, kills the worker, rotates, verifies, and removes everything again.
// It drives the program from outside and knows nothing of its insides.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Options are what a demonstration needs.
type Options struct {
	Program string    // absolute path of secretfs itself
	Sops    string    // path of the sops program
	Out     io.Writer // where the tour is printed
}

// A tour is one demonstration under way.
type tour struct {
	stage
	program, sops string
	recipient     string // age public key
}

// A step is one thing shown.
type step struct {
	title string
	show  func(*tour, context.Context) error
}

var steps = []step{
	{"A key, and a file of secrets that sops encrypts", (*tour).encrypt},
	{"A policy says who may read what", (*tour).writePolicy},
	{"Mounted: each secret is a file", (*tour).mount},
	{"Reading one, and the record of it", (*tour).read},
	{"Who may not is refused, and that is recorded too", (*tour).refuse},
	{"Killing the worker changes nothing for a reader", (*tour).kill},
	{"A changed secret is there at the next open", (*tour).rotate},
	{"The audit log is a chain that can be verified", (*tour).verify},
	{"Unmounted, and nothing is left", (*tour).unmount},
}

// Run gives the demonstration. It leaves nothing behind, also when ctx ends or
// a step fails.
func Run(ctx context.Context, o Options) (err error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "secretfs-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for the demo: %w", err)
	}
	t := &tour{stage: stage{out: o.Out, dir: dir}, program: o.Program, sops: o.Sops}
	defer func() { err = errors.Join(err, t.cleanUp()) }()

	fmt.Fprintf(t.out, "Everything happens in %s, which is removed at the end.\n", dir)
	for i, s := range steps {
		fmt.Fprintf(t.out, "\n%d. %s\n", i+1, s.title)
		if err := s.show(t, ctx); err != nil {
			t.showLog()
			return fmt.Errorf("step %d of the demo: %w", i+1, err)
		}
	}
	fmt.Fprintf(t.out, "\nAll of it was real, and took %.1f s.\n", time.Since(began).Seconds())
	return nil
}

// showLog prints what the daemon had to say, for whoever looks into a failure.
func (t *tour) showLog() {
	log, err := os.ReadFile(t.path("control.log"))
	if err == nil {
		fmt.Fprintf(t.out, "\n   The log of the mount:\n%s", log)
	}
}

// cleanUp takes away what is left of the demonstration.
func (t *tour) cleanUp() error {
	mount := t.path(mountName)
	// More than once: what has just lost its worker needs a moment.
	for end := time.Now().Add(5 * time.Second); mounted(mount) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, _ = t.quietly(ctx, line{args: []string{t.program, "umount", "--lazy", "--policy", policyName}})
		cancel()
	}
	if mounted(mount) {
		return fmt.Errorf("the demo's mount is still there: end it with `umount -l %s` and remove %s", mount, t.dir)
	}
	if err := os.RemoveAll(t.dir); err != nil {
		return fmt.Errorf("removing the demo's directory: %w", err)
	}
	return nil
}
