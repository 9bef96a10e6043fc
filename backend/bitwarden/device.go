package bitwarden

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
)

// newDevice makes the id under which an account knows this machine: the same each
// time, so that a lost state directory, or `secretfs check`, is no new device of
// which the owner gets a mail. It tells nothing of the machine's own id
// (machine-id(5)).
func newDevice(account string) string {
	var b [16]byte
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(bytes.TrimSpace(id)) == 32 {
		h := hmac.New(sha256.New, bytes.TrimSpace(id))
		fmt.Fprintf(h, "secretfs bitwarden %s %d", account, os.Geteuid())
		copy(b[:], h.Sum(nil))
	} else {
		rand.Read(b[:])
	}
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80 // RFC 9562, version 8
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
