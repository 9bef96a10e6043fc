package main

import (
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/secretfs/secretfs/policy/audit"
)

// record appends a real record to an audit log: `record LOG OUTCOME PATH UID EXE`.
// Its time is 2026-01-02 03:04:05 and its hour the number of the record before.
func record(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: record LOG OUTCOME PATH UID EXE")
	}
	log, err := audit.Open(audit.Config{File: ts.MkAbs(args[0])})
	ts.Check(err)
	uid, err := strconv.ParseUint(args[3], 10, 32)
	ts.Check(err)
	r := audit.Record{
		Time:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(log.Head().Seq) * time.Hour),
		Outcome: audit.Outcome(args[1]),
		Path:    args[2],
		Backend: "main",
		PID:     7, TID: 8, UID: uint32(uid),
		Exe:  args[4],
		Unit: "mem0.service",
		Rule: "mode 0400 owner",
	}
	if r.Outcome == audit.Refused {
		r.Errno, r.Rule = "EACCES", "only: units"
	}
	ts.Check(log.Append(&r))
	ts.Check(log.Close())
}
