package caller

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// capsDAC are the capabilities that override permission bits.
const capsDAC uint64 = 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH

var errStatus = errors.New("not in the format of proc_pid_status(5)")

// A status is what is used of /proc/TID/status. Ids are those of the reader's
// user namespace.
type status struct {
	tgid           uint32
	uid, gid       ids
	groups         []byte // unparsed: few callers need them
	init           bool
	capPrm, capEff uint64
}

type ids struct{ real, fs uint32 }

// Each field is found at the beginning of a line: the kernel escapes newlines
// in the first one, the name, which is the caller's to choose.
var (
	fieldTgid   = []byte("\nTgid:\t")
	fieldUID    = []byte("\nUid:\t")
	fieldGID    = []byte("\nGid:\t")
	fieldGroups = []byte("\nGroups:\t")
	fieldNStgid = []byte("\nNStgid:\t")
	fieldCapPrm = []byte("\nCapPrm:\t")
	fieldCapEff = []byte("\nCapEff:\t")
)

func parseStatus(text []byte) (status, error) {
	var s status
	l := lines{rest: text}
	s.tgid = l.decimal(l.find(fieldTgid))
	s.uid = l.ids(l.find(fieldUID))
	s.gid = l.ids(l.find(fieldGID))
	s.groups = l.find(fieldGroups)
	s.init = s.tgid == 1
	if bytes.Contains(l.rest, fieldNStgid) { // absent without CONFIG_PID_NS
		s.init = l.isInit(l.find(fieldNStgid))
	}
	s.capPrm = l.hex(l.find(fieldCapPrm))
	s.capEff = l.hex(l.find(fieldCapEff))
	if l.bad {
		return status{}, errStatus
	}
	return s, nil
}

// lines walks down the fields, which come in a fixed order, and remembers
// whether anything was missing or malformed.
type lines struct {
	rest []byte
	bad  bool
}

// find returns the value of a field. The newline stays for the next field.
func (l *lines) find(field []byte) []byte {
	at := bytes.Index(l.rest, field)
	if at < 0 {
		l.bad = true
		return nil
	}
	value := l.rest[at+len(field):]
	end := bytes.IndexByte(value, '\n')
	if end < 0 {
		l.bad = true
		return nil
	}
	l.rest = value[end:]
	return value[:end]
}

func (l *lines) decimal(b []byte) uint32 {
	n, rest, ok := cutID(b)
	l.bad = l.bad || !ok || len(rest) != 0
	return n
}

// ids reads "real effective saved fs", separated by tabs.
func (l *lines) ids(b []byte) ids {
	var four [4]uint32
	for i := range four {
		n, rest, ok := cutID(b)
		last := i == len(four)-1
		if !ok || last != (len(rest) == 0) || !last && rest[0] != '\t' {
			l.bad = true
			return ids{}
		}
		four[i] = n
		if !last {
			b = rest[1:]
		}
	}
	return ids{real: four[0], fs: four[3]}
}

// isInit looks at the process id in the innermost pid namespace. It is that of
// the process, since any thread of PID 1 must not wait.
func (l *lines) isInit(b []byte) bool {
	if at := bytes.LastIndexByte(b, '\t'); at >= 0 {
		b = b[at+1:]
	}
	return l.decimal(b) == 1
}

func (l *lines) hex(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			l.bad = true
		}
	}
	l.bad = l.bad || len(b) != 16
	return n
}

// parseGroups reads ids that are each followed by a space; none are one space.
func parseGroups(b []byte) ([]uint32, error) {
	if b = bytes.TrimPrefix(b, []byte{' '}); len(b) == 0 {
		return nil, nil
	}
	groups := make([]uint32, 0, bytes.Count(b, []byte{' '}))
	for len(b) > 0 {
		n, rest, ok := cutID(b)
		if !ok || len(rest) == 0 || rest[0] != ' ' {
			return nil, errStatus
		}
		groups, b = append(groups, n), rest[1:]
	}
	return groups, nil
}

// cutID reads a decimal number of 32 bits off the beginning of b.
func cutID(b []byte) (n uint32, rest []byte, ok bool) {
	var wide uint64
	i := 0
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		if wide = wide*10 + uint64(b[i]-'0'); wide > 1<<32-1 {
			return 0, b, false
		}
	}
	return uint32(wide), b[i:], i > 0
}
