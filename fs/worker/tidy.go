package worker

import (
	"context"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbage is how much of it there may be while we are busy, in percent of
	// what lives. Collecting costs time that somebody waits for.
	garbage = 200
	// startTime is how long a start may take.
	startTime = 2 * time.Second
	// tidyEvery is how often memory is looked at, and tidyFrom after how many
	// bytes it is worth it.
	tidyEvery = 5 * time.Second
	tidyFrom  = 64 << 10
)

// tidy gives back to the system what a start, a reload or a long answer have
// left as garbage, and the parts of the program that only they have used. The
// collector alone would keep garbage until there is as much again, which in a
// process that is idle is never.
func tidy(ctx context.Context, log *slog.Logger) {
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var before uint64
	for wait := startTime; ; wait = tidyEvery {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		metrics.Read(allocated)
		if allocated[0].Value.Uint64()-before < tidyFrom {
			continue
		}
		debug.FreeOSMemory()
		if err := dropProgram(); err != nil {
			log.Warn("tidying up memory", "error", err)
		}
		metrics.Read(allocated)
		before = allocated[0].Value.Uint64()
	}
}
