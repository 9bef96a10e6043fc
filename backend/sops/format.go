package sops

import "strings"

// A Format is how a file that sops encrypted is written.
type Format string

// The formats that sops 3.13 writes.
const (
	YAML   Format = "yaml"
	JSON   Format = "json"
	Dotenv Format = "dotenv"
	INI    Format = "ini"
	Binary Format = "binary"
)

// Formats lists every Format.
var Formats = []Format{YAML, JSON, Dotenv, INI, Binary}

// FormatOf tells the format of a file by the end of its name, as sops does:
// what is not known is binary.
func FormatOf(name string) Format {
	for _, by := range []struct {
		suffix string
		format Format
	}{
		{".yaml", YAML},
		{".yml", YAML},
		{".json", JSON},
		{".env", Dotenv},
		{".ini", INI},
	} {
		if strings.HasSuffix(name, by.suffix) {
			return by.format
		}
	}
	return Binary
}
