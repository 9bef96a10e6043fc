package kernel

import (
	"maps"
	"slices"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// A check is one thing that must hold of any site.
type check = func(*testing.T, *site)

// checks are all of them, by kind. None may change the site.
var checks = map[string]map[string]check{
	"formats":  formats,
	"programs": programs,
	"calls":    calls,
	"metadata": metadata,
	"writes":   writes,
}

// formats are the five formats of sops files, each read as one value.
var formats = map[string]check{
	"yaml": reads("formats/yaml"), "json": reads("formats/json"), "dotenv": reads("formats/dotenv"),
	"ini": reads("formats/ini"), "binary": reads("formats/binary"),
}

func reads(path string) check {
	return func(t *testing.T, s *site) { s.is(t, path, []byte(s.Read(path))) }
}

func TestConformance(t *testing.T) {
	harness.Matrix(t, func(t *testing.T) {
		s := newSite(t)
		for _, kind := range slices.Sorted(maps.Keys(checks)) {
			for _, name := range slices.Sorted(maps.Keys(checks[kind])) {
				t.Run(kind+"/"+name, func(t *testing.T) { checks[kind][name](t, s) })
			}
		}
		s.KillWorker()
		for path := range s.values {
			s.is(t, path, []byte(s.Read(path)))
		}
	})
}
