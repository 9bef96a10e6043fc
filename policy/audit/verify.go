package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
)

// A Finding is a place in the log and what is to be said of it.
type Finding struct {
	File string
	Line int    // from 1
	Seq  uint64 // of the record there, 0 if it is none
	What string
}

func (f Finding) String() string {
	if f.Seq == 0 {
		return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.What)
	}
	return fmt.Sprintf("%s:%d: record %d: %s", f.File, f.Line, f.Seq, f.What)
}

// A Report is what Verify found.
type Report struct {
	Records uint64
	First   uint64 // sequence number of the first record
	// Head is the end of the chain. That it was not changed, and that no
	// lines are missing after it, only a Head known otherwise can tell.
	Head Head
	// Problems are lines changed, removed, inserted or out of order, at most
	// maxFindings of them.
	Problems []Finding
	// Notes are what Verify cannot judge: a chain that begins in the middle
	// because older files are gone, an unfinished last line.
	Notes []Finding
}

// maxFindings keeps the report of a file that is no log at all short.
const maxFindings = 100

// Verify checks the chain through files, the oldest first; names that end in
// ".gz" are decompressed. The error tells of files that cannot be read; the
// Report then covers what was read before.
func Verify(files ...string) (Report, error) {
	return VerifyTo(Head{}, files...)
}

// VerifyTo is Verify for a log of which a Head is known, from whoever writes it
// or from a copy kept elsewhere: it was the end when the files began to be read,
// or before. So a last line that was changed or removed is found as well. There
// is at least one file.
func VerifyTo(known Head, files ...string) (Report, error) {
	v := verifier{sum: sha256.New(), known: known}
	err := v.files(files)
	if last := v.report.Head.Seq; err == nil && known.Seq > last {
		at := Finding{File: files[len(files)-1], Line: v.last.Line, Seq: last}
		v.problem(at, span(last+1, known.Seq)+" after it removed")
	}
	return v.report, err
}

// VerifyReader checks one file's worth of lines; name is for the findings.
func VerifyReader(name string, r io.Reader) (Report, error) {
	v := verifier{sum: sha256.New()}
	err := v.lines(name, r, true)
	return v.report, err
}

// A verifier walks along the chain.
type verifier struct {
	report Report
	known  Head // zero if there is none
	sum    hash.Hash
	last   Finding // the line before, without What
	hash   string  // of the line before
}

func (v *verifier) files(names []string) error {
	for i, name := range names {
		if err := v.file(name, i == len(names)-1); err != nil {
			return fmt.Errorf("verifying audit log: %w", err)
		}
	}
	return nil
}

func (v *verifier) file(name string, newest bool) error {
	f, err := openPlain(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return v.lines(name, f, newest)
}

func openPlain(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", name, err), f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, nil
}

func (v *verifier) lines(name string, r io.Reader, newest bool) error {
	br := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, sum, err := v.next(br)
		at := Finding{File: name, Line: n}
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF) && newest:
			v.note(at, fmt.Sprintf("an unfinished line of %d bytes", len(line)))
			return nil
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("reading %s: %w", name, err)
		}
		v.line(at, line, sum)
		if err != nil {
			v.problem(at, "the file ends within this line")
			return nil
		}
	}
}

// next reads a line, of which it keeps no more than maxLine bytes, and its hash.
// The error is io.EOF where the newline is missing.
func (v *verifier) next(br *bufio.Reader) (line []byte, sum string, err error) {
	v.sum.Reset()
	for {
		part, err := br.ReadSlice('\n')
		body := bytes.TrimSuffix(part, []byte("\n"))
		v.sum.Write(body)
		if len(line) <= maxLine {
			line = append(line, body...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, hex.EncodeToString(v.sum.Sum(nil)), err
		}
	}
}

func (v *verifier) line(at Finding, line []byte, sum string) {
	r, err := ParseLine(line)
	if err != nil || len(line) > maxLine {
		v.noRecord(at, line)
		v.last, v.hash = at, sum
		return
	}
	at.Seq = r.Seq
	v.report.Records++
	if v.report.Records == 1 {
		v.begin(at, r)
	} else if !v.link(at, r) {
		return
	}
	if v.known.Seq == r.Seq && v.known.Hash != sum {
		v.problem(at, "was changed: whoever wrote it has another hash for it")
	}
	v.last, v.hash = at, sum
	v.report.Head = Head{Seq: r.Seq, Hash: sum}
}

// noRecord judges a line that is none. One that a kill has torn, in a file that
// cannot be shortened, stays as a line and is covered by the chain.
func (v *verifier) noRecord(at Finding, line []byte) {
	if bytes.HasPrefix(line, []byte(`{"time":"`)) && !bytes.HasSuffix(line, []byte("}")) {
		v.note(at, "a torn line")
		return
	}
	v.problem(at, "this line is no record")
}

func (v *verifier) begin(at Finding, r Record) {
	v.report.First = r.Seq
	switch {
	case v.hash != "" && r.Prev != v.hash:
		v.problem(v.last, "this line does not belong to the chain")
	case r.Prev != "" && v.hash == "":
		v.note(at, "the chain begins before this record, in a file that is gone or was not given")
	case r.Prev == "" && r.Seq != 1:
		v.problem(at, "a new chain begins here, but not with record 1")
	}
}

// link compares a record with the line before it. It returns false for one that
// belongs elsewhere, which what follows does not build on.
func (v *verifier) link(at Finding, r Record) bool {
	before := v.report.Head.Seq
	switch {
	case r.Prev == v.hash && r.Seq == before+1:
	case r.Prev == v.hash && r.Seq > before: // cut off before this one was written
		v.problem(at, span(before+1, r.Seq-1)+" before it missing")
	case r.Prev == "":
		v.problem(at, fmt.Sprintf("a new chain begins here, after record %d", before))
	case r.Seq == before+1:
		v.problem(v.last, fmt.Sprintf("was changed: record %d, which follows, has another hash for it", r.Seq))
	case r.Seq > before+1:
		v.problem(at, span(before+1, r.Seq-1)+" before it removed")
	default:
		v.problem(at, fmt.Sprintf("out of order: it stands after record %d", before))
		return false
	}
	return true
}

func span(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("record %d", from)
	}
	return fmt.Sprintf("records %d to %d", from, to)
}

func (v *verifier) problem(at Finding, what string) {
	at.What = what
	if len(v.report.Problems) < maxFindings {
		v.report.Problems = append(v.report.Problems, at)
	}
}

func (v *verifier) note(at Finding, what string) {
	at.What = what
	if len(v.report.Notes) < maxFindings {
		v.report.Notes = append(v.report.Notes, at)
	}
}
