package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// The methods below have value receivers so that a Value that is a struct's
// field by value is covered too.
var (
	_ fmt.Formatter  = Value{}
	_ slog.LogValuer = Value{}
)

// Format writes "[redacted]" whatever the verb and flags.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String is "[redacted]".
func (Value) String() string { return redacted }

// GoString is "[redacted]".
func (Value) GoString() string { return redacted }

// LogValue is "[redacted]" for log/slog.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON is the JSON string "[redacted]".
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText is "[redacted]" for XML, YAML and whatever else takes texts.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary is "[redacted]" for encoding/gob.
func (Value) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }
