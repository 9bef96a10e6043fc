package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// JournalSocket is where journald takes native messages.
const JournalSocket = "/run/systemd/journal/socket"

// A JournalConfig sets up the journal as second sink. It takes what it can: the
// file is the log, and what the journal misses is counted and told.
type JournalConfig struct {
	Socket string // JournalSocket if empty; it may appear and vanish at any time
}

const (
	journalQueue = 256
	// journalWait is how long a full journal is waited for, by a goroutine of
	// its own, before a record is given up.
	journalWait = time.Second
	// journalProbe is how often a journal is looked for that has never been
	// there.
	journalProbe = time.Second
)

// A journal sends records in the background. Its protocol: systemd's "Native
// Journal Protocol", https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
type journal struct {
	addr    net.UnixAddr
	onError func(error)
	queue   chan Record
	stop    chan struct{}
	ended   sync.WaitGroup
	dropped atomic.Uint64 // since it was last told
	total   atomic.Uint64
	// absent says that there has been no journal so far: nothing is missed
	// then, and the socket is looked for only once per journalProbe.
	absent atomic.Bool

	conn *net.UnixConn // used by the goroutine only
	buf  []byte
	said time.Time
}

func newJournal(cfg JournalConfig, onError func(error)) *journal {
	if cfg.Socket == "" {
		cfg.Socket = JournalSocket
	}
	j := &journal{
		addr:    net.UnixAddr{Name: cfg.Socket, Net: "unixgram"},
		onError: onError,
		queue:   make(chan Record, journalQueue),
		stop:    make(chan struct{}),
	}
	if !j.there() {
		j.absent.Store(true)
		j.ended.Go(j.lookOut)
	}
	j.ended.Go(j.run)
	return j
}

func (j *journal) there() bool {
	_, err := os.Lstat(j.addr.Name)
	return err == nil
}

// lookOut waits for a journal that is not there yet, as early in the boot or
// on a machine without systemd.
func (j *journal) lookOut() {
	tick := time.NewTicker(journalProbe)
	defer tick.Stop()
	for !j.there() {
		select {
		case <-j.stop:
			return
		case <-tick.C:
		}
	}
	j.absent.Store(false)
}

// offer never waits.
func (j *journal) offer(r *Record) {
	if j.absent.Load() {
		return
	}
	select {
	case j.queue <- *r:
	default:
		j.drop()
	}
}

func (j *journal) drop() {
	j.dropped.Add(1)
	j.total.Add(1)
}

// close sends what is queued, for no longer than journalWait.
func (j *journal) close() {
	close(j.stop)
	j.ended.Wait()
}

func (j *journal) run() {
	defer func() {
		if j.conn != nil {
			_ = j.conn.Close()
		}
	}()
	for {
		select {
		case r := <-j.queue:
			j.forward(&r, time.Now().Add(journalWait))
		case <-j.stop:
			j.drain(time.Now().Add(journalWait))
			return
		}
	}
}

func (j *journal) drain(deadline time.Time) {
	for {
		select {
		case r := <-j.queue:
			j.forward(&r, deadline)
		default:
			return
		}
	}
}

// forward sends r, and before it, once the journal takes messages again, how
// many it has missed.
func (j *journal) forward(r *Record, deadline time.Time) {
	if n := j.dropped.Load(); n > 0 && j.send(appendMissed(nil, n), deadline) == nil {
		j.dropped.Add(-n)
	}
	j.buf = appendEntry(j.buf[:0], r)
	if err := j.send(j.buf, deadline); err != nil {
		j.drop()
		if time.Since(j.said) >= sayEvery {
			j.said = time.Now()
			j.onError(fmt.Errorf("sending audit records to the journal (%d not sent so far; the file has them): %w", j.total.Load(), err))
		}
	}
}

// send does not connect the socket, so that a restarted journald is found again.
func (j *journal) send(msg []byte, deadline time.Time) error {
	if j.conn == nil {
		// An empty name is autobind: the socket gets no file (unix(7)).
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"})
		if err != nil {
			return err
		}
		j.conn = conn
	}
	err := j.conn.SetWriteDeadline(deadline)
	if err == nil {
		_, _, err = j.conn.WriteMsgUnix(msg, nil, &j.addr)
	}
	if errors.Is(err, net.ErrClosed) {
		j.conn = nil
	}
	return err
}

// Priorities are those of syslog(3).
var priorities = map[Outcome]string{Allowed: "6", Refused: "4", Failed: "3"}

func appendEntry(b []byte, r *Record) []byte {
	number := func(b []byte, name string, n uint32) []byte {
		return appendField(b, name, strconv.FormatUint(uint64(n), 10))
	}
	b = appendField(b, "MESSAGE", message(r))
	b = appendField(b, "PRIORITY", priorities[r.Outcome])
	b = appendField(b, "SYSLOG_IDENTIFIER", "secretfs")
	b = appendField(b, "SECRETFS_TIME", r.Time.UTC().Format(timeFormat))
	b = appendField(b, "SECRETFS_SEQ", strconv.FormatUint(r.Seq, 10))
	b = appendField(b, "SECRETFS_OUTCOME", string(r.Outcome))
	b = appendField(b, "SECRETFS_PATH", r.Path)
	b = appendField(b, "SECRETFS_BACKEND", r.Backend)
	b = appendField(b, "SECRETFS_VERSION", r.Version)
	b = number(b, "SECRETFS_PID", r.PID)
	b = number(b, "SECRETFS_TID", r.TID)
	b = number(b, "SECRETFS_UID", r.UID)
	b = number(b, "SECRETFS_GID", r.GID)
	b = appendField(b, "SECRETFS_EXE", r.Exe)
	b = appendField(b, "SECRETFS_UNIT", r.Unit)
	b = appendField(b, "SECRETFS_RULE", r.Rule)
	b = appendField(b, "SECRETFS_ERRNO", r.Errno)
	b = append(append(appendMillis(append(b, "SECRETFS_MS="...), r.Elapsed), '\n'), "SECRETFS_RESENT="...)
	b = append(strconv.AppendBool(b, r.Resent), '\n')
	return appendField(b, "SECRETFS_PREV", r.Prev)
}

// appendField leaves empty fields out. A value with a newline takes the binary
// form: name, newline, length as little-endian 64 bits, value, newline.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, name...)
	if strings.ContainsRune(value, '\n') {
		b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(value)))
	} else {
		b = append(b, '=')
	}
	return append(append(b, value...), '\n')
}

func message(r *Record) string {
	who := r.Exe
	if r.Unit != "" {
		who = r.Unit + ", " + who
	}
	text := fmt.Sprintf("%s: %s to uid %d, pid %d (%s)", r.Outcome, r.Path, r.UID, r.PID, who)
	if r.Errno != "" {
		text += ": " + r.Errno
	}
	return text
}

func appendMissed(b []byte, n uint64) []byte {
	b = appendField(b, "MESSAGE", fmt.Sprintf("%d audit records did not reach the journal; the audit file has them", n))
	b = appendField(b, "PRIORITY", "4")
	return appendField(b, "SYSLOG_IDENTIFIER", "secretfs")
}
