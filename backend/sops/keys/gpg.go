package keys

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// Low 16 bits of libgpg-error's codes, as they stand in gpg's status lines.
const (
	gpgBadPassphrase = 11
	gpgNoPinentry    = 85
	gpgCanceled      = 99
	gpgNoPassphrase  = 177
)

// solveGPG runs gpg as sops does, but never lets it ask a person: a key with a
// passphrase works while gpg-agent holds it. An agent that gpg starts lives on, in
// a session of its own, as after any use of gpg.
func solveGPG(ctx context.Context, q *Request) (*secret.Value, error) {
	if _, err := os.Stat(q.GnupgHome); err != nil {
		return nil, helper.Refuse(backend.ErrLocked, "%s: GnuPG home %s: %v", q.Key, q.GnupgHome, bare(err))
	}
	program := q.GnupgProgram
	if program == "" {
		program = "gpg"
	}
	cmd := exec.CommandContext(ctx, program, "--homedir", q.GnupgHome, "--batch", "--no-tty",
		"--pinentry-mode", "error", "--status-fd", "2", "--decrypt")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(q.Key.enc())
	cmd.WaitDelay = time.Second // a gpg-agent that it starts may keep the pipes open
	status := &bounded{max: 1 << 16}
	cmd.Stderr = status
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, helper.Refuse(backend.ErrLocked, "%s: running gpg: %v", q.Key, err)
	}
	v, readErr := readShare(out)
	out.Close()
	waitErr := cmd.Wait()
	if readErr == nil && (waitErr == nil || errors.Is(waitErr, exec.ErrWaitDelay)) && statusHas(status.Bytes(), "DECRYPTION_OKAY") {
		return v, nil
	}
	v.Destroy()
	return nil, gpgFailure(q, status.Bytes())
}

// gpgFailure reads gpg's status lines (GnuPG, doc/DETAILS).
func gpgFailure(q *Request, status []byte) error {
	switch code := pkdecryptCode(status); {
	case code == gpgBadPassphrase:
		return helper.Refuse(backend.ErrRejected, "%s: gpg-agent was given a wrong passphrase", q.Key)
	case code == gpgNoPinentry, code == gpgCanceled, code == gpgNoPassphrase:
		return helper.Refuse(backend.ErrLocked, "%s: the key in %s is protected by a passphrase that gpg-agent does not hold, and nobody is there to type it", q.Key, q.GnupgHome)
	case statusHas(status, "NO_SECKEY"):
		return helper.Refuse(backend.ErrLocked, "%s: no secret key for it in the GnuPG home %s", q.Key, q.GnupgHome)
	case statusHas(status, "NODATA"), statusHas(status, "BADMDC"), statusHas(status, "DECRYPTION_OKAY"):
		return helper.Refuse(backend.ErrRejected, "%s: gpg says that its entry is damaged", q.Key)
	}
	return helper.Refuse(backend.ErrRejected, "%s: %s", q.Key, lastWords(status))
}

var pkdecryptFailed = regexp.MustCompile(`(?m)^\[GNUPG:\] ERROR pkdecrypt_failed (\d+)`)

func pkdecryptCode(status []byte) int {
	m := pkdecryptFailed.FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseUint(string(m[1]), 10, 32)
	return int(n & 0xffff)
}

func statusHas(status []byte, keyword string) bool {
	for line := range bytes.Lines(status) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "[GNUPG:]" && string(f[1]) == keyword {
			return true
		}
	}
	return false
}

// lastWords is the last line that gpg wrote for people: key ids and reasons.
func lastWords(status []byte) string {
	words := "gpg gave no data key and no reason"
	for line := range bytes.Lines(status) {
		if bytes.HasPrefix(line, []byte("gpg: ")) {
			words = helper.Printable(string(line), 200)
		}
	}
	return words
}

// bounded keeps the first max bytes and swallows the rest.
type bounded struct {
	bytes.Buffer
	max int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, b.max-b.Len()))])
	return len(p), nil
}
