package audit

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen is a journald that reads only when asked to.
func listen(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// receive reads and takes apart one message, as the protocol's page says.
func receive(t *testing.T, c *net.UnixConn) map[string]string {
	t.Helper()
	buf := make([]byte, 64<<10)
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for msg := buf[:n]; len(msg) > 0; {
		i := bytes.IndexAny(msg, "=\n")
		name, binaryForm := string(msg[:i]), msg[i] == '\n'
		msg = msg[i+1:]
		size := bytes.IndexByte(msg, '\n')
		if binaryForm {
			size = int(binary.LittleEndian.Uint64(msg))
			msg = msg[8:]
		}
		fields[name] = string(msg[:size])
		if msg[size] != '\n' {
			t.Fatalf("%s does not end in a newline", name)
		}
		msg = msg[size+1:]
	}
	return fields
}

func TestJournalFields(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	c := listen(t, socket)
	l, said := open(t, Config{File: filepath.Join(dir, "audit.jsonl"), Journal: &JournalConfig{Socket: socket}})
	write(t, l, 1)
	receive(t, c)
	r := sample()
	r.Exe = "/bin/odd\nSECRETFS_UID=0\n" // no field of its own
	if err := l.Append(&r); err != nil {
		t.Fatal(err)
	}
	got := receive(t, c)
	for name, want := range map[string]string{
		"PRIORITY": "4", "SYSLOG_IDENTIFIER": "secretfs", "SECRETFS_TIME": "2026-03-04T05:06:07.000000089Z", "SECRETFS_SEQ": "2",
		"SECRETFS_OUTCOME": "refused", "SECRETFS_PATH": "mem0/token", "SECRETFS_BACKEND": "main", "SECRETFS_VERSION": "3f2a",
		"SECRETFS_PID": "1234", "SECRETFS_TID": "1235", "SECRETFS_UID": "990", "SECRETFS_GID": "991", "SECRETFS_EXE": r.Exe,
		"SECRETFS_UNIT": "mem0.service", "SECRETFS_RULE": "mode 0400", "SECRETFS_ERRNO": "EACCES", "SECRETFS_MS": "1.234",
		"SECRETFS_RESENT": "true", "SECRETFS_PREV": r.Prev,
		"MESSAGE": "refused: mem0/token to uid 990, pid 1234 (mem0.service, " + r.Exe + "): EACCES",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q want %q", name, got[name], want)
		}
	}
	if len(got) != 20 {
		t.Errorf("%d fields: %q", len(got), got)
	}
	silent(t, said)
}

// A journal that does not read costs its records, and no reader any time.
func TestFullJournal(t *testing.T) {
	dir := t.TempDir()
	socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "audit.jsonl")
	c := listen(t, socket)
	if err := c.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	l, said := open(t, Config{File: file, Journal: &JournalConfig{Socket: socket}})
	const n = 4 * journalQueue
	start := time.Now()
	write(t, l, n)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("appending took %s", took)
	}
	intact(t, n, file)
	missed := l.JournalMissed()
	if missed == 0 {
		t.Fatal("nothing was missed: the journal was not full")
	}
	// Once it reads again it is told how many it has missed.
	for {
		if text := receive(t, c)["MESSAGE"]; strings.Contains(text, "audit records did not reach the journal") {
			break
		}
	}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	}()
	_ = l.Close()
	if errs := said.all(); len(errs) > 1 {
		t.Errorf("said %q", errs)
	}
}

// There is no journal, then one, then none, then another: what was never there
// misses nothing, what has gone does.
func TestJournalComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	l, said := open(t, Config{File: filepath.Join(dir, "audit.jsonl"), Journal: &JournalConfig{Socket: socket}})
	write(t, l, 1)
	if n, errs := l.JournalMissed(), said.all(); n != 0 || len(errs) > 0 {
		t.Errorf("without any journal: missed %d, said %q", n, errs)
	}

	c := listen(t, socket)
	for deadline := time.Now().Add(30 * time.Second); l.journal.absent.Load() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	write(t, l, 1)
	if got := receive(t, c)["SECRETFS_SEQ"]; got != "2" {
		t.Errorf("got %q want 2", got)
	}
	_ = c.Close()
	_ = os.Remove(socket)

	write(t, l, 1)
	for deadline := time.Now().Add(30 * time.Second); l.JournalMissed() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if !said.has("no such file or directory") {
		t.Errorf("said %q", said.all())
	}

	c = listen(t, socket)
	write(t, l, 1)
	if got := receive(t, c)["MESSAGE"]; !strings.HasPrefix(got, "1 audit records did not reach") {
		t.Errorf("got %q", got)
	}
	if got := receive(t, c)["SECRETFS_SEQ"]; got != "4" {
		t.Errorf("got %q want 4", got)
	}
}
