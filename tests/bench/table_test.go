package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A row is one line of the table: what was measured, what it is compared with,
// and what the issue asks for.
type row struct {
	what        string
	value, peer string
	ratio       float64 // value to peer; where there is no peer, to the bar
	bar         string
	ok          bool
}

type rows []row

var results rows

// ratio adds a row that compares two medians of one run.
func (r *rows) ratio(b *testing.B, what string, value, peer time.Duration, bar float64) {
	got := float64(value) / float64(peer)
	*r = append(*r, row{what, text(value), text(peer), got, fmt.Sprintf("<= %g x", bar), got <= bar})
	b.ReportMetric(got, "ratio")
}

// within adds a row that has a bar and no peer.
func (r *rows) within(b *testing.B, what string, value, bar float64, unit string) {
	*r = append(*r, row{what, fmt.Sprintf("%.4g %s", value, unit), "", value / bar, fmt.Sprintf("<= %g %s", bar, unit), value <= bar})
	b.ReportMetric(value, strings.ReplaceAll(unit, " ", "-"))
}

// atLeast adds a row whose ratio must not be less than bar.
func (r *rows) atLeast(b *testing.B, what string, value, peer float64, bar float64) {
	got := value / peer
	*r = append(*r, row{what, fmt.Sprintf("%.0f/s", value), fmt.Sprintf("%.0f/s", peer), got, fmt.Sprintf(">= %g x", bar), got >= bar})
	b.ReportMetric(got, "ratio")
}

// say adds a row without a bar.
func (r *rows) say(what, value, peer string, ratio float64) {
	*r = append(*r, row{what: what, value: value, peer: peer, ratio: ratio, ok: true})
}

func (r rows) write(file string) error {
	if len(r) == 0 {
		return nil
	}
	var s strings.Builder
	s.WriteString("\n| what | value | peer | ratio | bar | verdict |\n|---|--:|--:|--:|--:|---|\n")
	for _, l := range r {
		verdict := "reached"
		switch {
		case l.bar == "":
			verdict = ""
		case !l.ok:
			verdict = "MISSED"
		}
		ratio := ""
		if l.ratio != 0 {
			ratio = fmt.Sprintf("%.2f", l.ratio)
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s |\n", l.what, l.value, l.peer, ratio, l.bar, verdict)
	}
	fmt.Print(s.String())
	if file == "" {
		return nil
	}
	return os.WriteFile(file, []byte(s.String()), 0o644)
}

func text(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	case d < 10*time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func median[T time.Duration | float64](samples []T) T {
	slices.Sort(samples)
	return samples[len(samples)/2]
}
