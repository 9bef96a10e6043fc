package conf

import "strconv"

// A Pos is a place in a file. Line and Col count from 1; 0 is unknown.
type Pos struct {
	Line, Col int32
}

// String is "line:col", or "" where the place is unknown.
func (p Pos) String() string {
	if p.Line == 0 {
		return ""
	}
	return strconv.Itoa(int(p.Line)) + ":" + strconv.Itoa(int(p.Col))
}
