package harness

import (
	"bytes"
	"encoding/json"
	"os"
	"syscall"
)

// A Status is what `secretfs status` says.
type Status struct {
	HolderPID int `json:"holder_pid"`
	WorkerPID int `json:"worker_pid"`
	Restarts  int
	Notices   []string
	Backends  []struct{ Name, State, Error string }
	Secrets   []struct {
		Path, State, Version, Error string
		Size                        int64
	}
}

// Status asks the running mount.
func (m *Mount) Status() Status {
	m.t.Helper()
	var s Status
	if err := json.Unmarshal([]byte(m.Must("status", "--json")), &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// KillWorker sends SIGKILL to the worker and returns once another serves.
func (m *Mount) KillWorker() {
	m.t.Helper()
	pid := m.Status().WorkerPID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		m.t.Fatalf("killing worker %d: %v", pid, err)
	}
	Eventually(m.t, "another worker serves", func() bool { return m.Status().WorkerPID != pid })
}

// A Record is a line of the audit log.
type Record struct {
	Seq                                     uint64
	Outcome, Path, Version, Exe, Unit, Rule string
	Errno                                   string
	PID, TID, UID, GID                      uint32
	Resent                                  bool
}

// Audit reads the audit log.
func (m *Mount) Audit() (records []Record) {
	m.t.Helper()
	b, err := os.ReadFile(m.AuditLog)
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			m.t.Fatalf("audit line %q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}
