package conf

import "strconv"

// A Pos is a place in a file. Line and Col, in characters, count from 1; 0 is
// unknown.
type Pos struct {
	Line, Col int32
}

// String is "line:col", "line" where the column is unknown, or "" where the
// place is.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return ""
	case p.Col == 0:
		return strconv.Itoa(int(p.Line))
	}
	return strconv.Itoa(int(p.Line)) + ":" + strconv.Itoa(int(p.Col))
}
