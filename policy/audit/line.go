package audit

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// maxLine bounds what is taken for a record: two paths of 4096 bytes, each byte
// escaped with six, and room to spare.
const maxLine = 1 << 20

// timeFormat is RFC 3339 with all nine digits, so that lines sort as text.
const timeFormat = "2006-01-02T15:04:05.000000000Z"

// appendLine appends r as one JSON object, without the newline.
func appendLine(b []byte, r *Record) []byte {
	b = append(b, `{"time":"`...)
	b = r.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, r.Seq, 10)
	b = appendString(b, `,"outcome":`, string(r.Outcome))
	b = appendString(b, `,"path":`, r.Path)
	b = appendString(b, `,"backend":`, r.Backend)
	b = appendString(b, `,"version":`, r.Version)
	b = appendNumber(b, `,"pid":`, r.PID)
	b = appendNumber(b, `,"tid":`, r.TID)
	b = appendNumber(b, `,"uid":`, r.UID)
	b = appendNumber(b, `,"gid":`, r.GID)
	b = appendString(b, `,"exe":`, r.Exe)
	b = appendString(b, `,"unit":`, r.Unit)
	b = appendString(b, `,"rule":`, r.Rule)
	b = appendString(b, `,"errno":`, r.Errno)
	b = append(b, `,"ms":`...)
	b = appendMillis(b, r.Elapsed)
	b = append(b, `,"resent":`...)
	b = strconv.AppendBool(b, r.Resent)
	if r.Stale {
		b = append(b, `,"stale":true`...)
	}
	b = appendString(b, `,"prev":`, r.Prev)
	return append(b, '}')
}

func appendNumber(b []byte, name string, n uint32) []byte {
	return strconv.AppendUint(append(b, name...), uint64(n), 10)
}

// appendMillis writes whole microseconds as milliseconds with three digits.
func appendMillis(b []byte, d time.Duration) []byte {
	us := uint64(max(d.Microseconds(), 0))
	b = strconv.AppendUint(b, us/1000, 10)
	return append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

// appendString appends name and the JSON string of s. Paths may hold any bytes:
// what is not UTF-8 becomes U+FFFD, because a parser may drop a line with
// anything else, and with it the record. Control characters, DEL and C1 ones
// too, are escaped, so that a terminal does not obey them.
func appendString(b []byte, name, s string) []byte {
	b = append(append(b, name...), '"')
	for i := 0; i < len(s); {
		c := s[i]
		if ' ' <= c && c < 0x7f {
			if c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		case r < 0xa0:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return append(b, '"')
}

// A wire is a line as JSON sees it. Fields that it does not know are left to
// later versions.
type wire struct {
	Time    string  `json:"time"`
	Seq     uint64  `json:"seq"`
	Outcome string  `json:"outcome"`
	Path    string  `json:"path"`
	Backend string  `json:"backend"`
	Version string  `json:"version"`
	PID     uint32  `json:"pid"`
	TID     uint32  `json:"tid"`
	UID     uint32  `json:"uid"`
	GID     uint32  `json:"gid"`
	Exe     string  `json:"exe"`
	Unit    string  `json:"unit"`
	Rule    string  `json:"rule"`
	Errno   string  `json:"errno"`
	MS      float64 `json:"ms"`
	Resent  bool    `json:"resent"`
	Stale   bool    `json:"stale"`
	Prev    string  `json:"prev"`
}

// ParseLine reads one line of the log, without its newline.
func ParseLine(line []byte) (Record, error) {
	var w wire
	if err := json.Unmarshal(line, &w); err != nil {
		return Record{}, fmt.Errorf("reading an audit record: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, w.Time)
	if err != nil {
		return Record{}, fmt.Errorf("reading an audit record: time: %w", err)
	}
	if w.Seq == 0 || w.MS < 0 || w.MS > maxMillis {
		return Record{}, fmt.Errorf("reading an audit record: seq %d or ms %g out of range", w.Seq, w.MS)
	}
	return Record{
		Time: at.UTC(), Seq: w.Seq, Outcome: Outcome(w.Outcome), Path: w.Path, Backend: w.Backend, Version: w.Version,
		PID: w.PID, TID: w.TID, UID: w.UID, GID: w.GID, Exe: w.Exe, Unit: w.Unit, Rule: w.Rule, Errno: w.Errno,
		Elapsed: time.Duration(math.Round(w.MS*1000)) * time.Microsecond, Resent: w.Resent, Stale: w.Stale, Prev: w.Prev,
	}, nil
}

// maxMillis is the longest time.Duration.
const maxMillis = float64(math.MaxInt64/1000) / 1000
