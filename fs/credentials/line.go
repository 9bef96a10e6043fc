package credentials

import (
	"bytes"
	"fmt"

	"github.com/secretfs/secretfs/backend/secret"
)

// lineOf takes the value of key out of a file of KEY=VALUE lines, as a shell
// could read it: an optional "export ", values as they are, in single quotes, or
// in double quotes, where a backslash stands before ", \, $ and `. Empty lines
// and those that begin with # are none. The last line of a key counts. Errors
// quote nothing of the file.
func lineOf(file []byte, key string) (*secret.Value, error) {
	var found []byte
	at, n := 0, 0
	for line := range bytes.Lines(file) {
		n++
		if value, ok := bytes.CutPrefix(assignment(line), []byte(key+"=")); ok {
			found, at = value, n
		}
	}
	if at == 0 {
		return nil, fmt.Errorf("there is no line %s=", key)
	}
	v, err := unquoted(found)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", at, err)
	}
	return v, nil
}

// assignment is a line without what does not count.
func assignment(line []byte) []byte {
	line = bytes.TrimSpace(line)
	rest, exported := bytes.CutPrefix(line, []byte("export"))
	if trimmed := bytes.TrimLeft(rest, " \t"); exported && len(trimmed) < len(rest) {
		return trimmed
	}
	return line
}

func unquoted(value []byte) (*secret.Value, error) {
	if len(value) == 0 || value[0] != '\'' && value[0] != '"' {
		return copied(value)
	}
	quote := value[0]
	v, err := secret.New(len(value))
	if err != nil {
		return nil, err
	}
	defer v.Destroy()
	out := v.Bytes()[:0] // within its capacity: never longer than value
	for i := 1; i < len(value); i++ {
		switch c := value[i]; {
		case c == quote:
			if rest := bytes.TrimSpace(value[i+1:]); len(rest) > 0 && rest[0] != '#' {
				return nil, fmt.Errorf("something follows the closing quote")
			}
			return copied(out)
		case c == '\\' && quote == '"' && i+1 < len(value) && bytes.IndexByte([]byte("\"\\$`"), value[i+1]) >= 0:
			i++
			out = append(out, value[i])
		default:
			out = append(out, c)
		}
	}
	return nil, fmt.Errorf("the closing quote is missing")
}
