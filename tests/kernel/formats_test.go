package kernel

import "testing"

// formats are the five formats of sops files, each read as one value.
var formats = map[string]check{
	"yaml": reads("formats/yaml"), "json": reads("formats/json"), "dotenv": reads("formats/dotenv"),
	"ini": reads("formats/ini"), "binary": reads("formats/binary"),
}

func reads(path string) check {
	return func(t *testing.T, s *site) { s.is(t, path, []byte(s.Read(path))) }
}
