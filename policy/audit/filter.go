package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"
)

// A Filter says which records to show. The zero Filter matches all.
type Filter struct {
	PathGlob string  // path.Match; a match of a parent directory is one too
	Unit     string  // exactly
	User     *uint32 // uid
	Denied   bool    // refused ones only
	Since    time.Time
}

// Check says whether PathGlob can be read.
func (f Filter) Check() error {
	if _, err := path.Match(f.PathGlob, ""); err != nil {
		return fmt.Errorf("reading path pattern %q: %w", f.PathGlob, err)
	}
	return nil
}

// Match says whether r passes every condition that is set.
func (f Filter) Match(r *Record) bool {
	return (f.PathGlob == "" || below(f.PathGlob, r.Path)) &&
		(f.Unit == "" || f.Unit == r.Unit) &&
		(f.User == nil || *f.User == r.UID) &&
		(!f.Denied || r.Outcome == Refused) &&
		!r.Time.Before(f.Since)
}

func below(glob, name string) bool {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if ok, err := path.Match(glob, name); ok && err == nil {
			return true
		}
	}
	return false
}

// Show calls fn for each record of files that passes. Lines that are no records
// are passed over: telling of them is Verify's part. fn's error ends it.
func Show(ctx context.Context, f Filter, files []string, fn func(Record) error) error {
	for _, name := range files {
		if err := showFile(ctx, f, name, fn); err != nil {
			return fmt.Errorf("reading audit log: %w", err)
		}
	}
	return nil
}

func showFile(ctx context.Context, f Filter, name string, fn func(Record) error) error {
	file, err := openPlain(name)
	if err != nil {
		return err
	}
	defer file.Close()
	br := bufio.NewReader(file)
	for {
		line, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if err := pass(f, line, fn); err != nil {
			return err
		}
	}
}

func pass(f Filter, line []byte, fn func(Record) error) error {
	r, err := ParseLine(bytes.TrimSuffix(line, []byte("\n")))
	if err != nil || !f.Match(&r) {
		return nil
	}
	return fn(r)
}
