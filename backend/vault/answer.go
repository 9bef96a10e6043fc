package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/httpc"
	"github.com/secretfs/secretfs/backend/secret"
)

// An answer is what the server says to all requests alike. Its Data, and the token in
// its Auth, are plaintext on the heap: whoever has one wipes it.
type answer struct {
	LeaseID       string          `json:"lease_id"`
	LeaseDuration int64           `json:"lease_duration"` // seconds
	Renewable     bool            `json:"renewable"`
	Data          json.RawMessage `json:"data"`
	Auth          *grant          `json:"auth"`
	Errors        []string        `json:"errors"`
	Warnings      []string        `json:"warnings"`
}

// A grant is a token.
type grant struct {
	ClientToken   json.RawMessage `json:"client_token"`
	Accessor      string          `json:"accessor"`
	Policies      []string        `json:"policies"`
	LeaseDuration int64           `json:"lease_duration"` // seconds, 0 for one that never runs out
	Renewable     bool            `json:"renewable"`
}

func (a *answer) wipe() {
	secret.Wipe(a.Data)
	if a.Auth != nil {
		secret.Wipe(a.Auth.ClientToken)
	}
}

// decode reads the body of a reply. It takes no reply for an answer that is not
// one of a Vault.
func decode(r *httpc.Reply) (*answer, error) {
	a := &answer{}
	if len(bytes.TrimSpace(r.Body)) == 0 && r.OK() { // 204
		return a, nil
	}
	if json.Unmarshal(r.Body, a) != nil {
		a.wipe()
		return nil, r.Garbage()
	}
	return a, nil
}

// fields reads Data as an object.
func (a *answer) fields() (object, error) {
	o := object{}
	if len(a.Data) == 0 || json.Unmarshal(a.Data, &o) != nil || o == nil {
		o.wipe()
		return nil, fmt.Errorf("the answer holds no map of fields: %w", backend.ErrCorrupt)
	}
	return o, nil
}

// maxQuoted bounds what of a server's sentence is passed on, in bytes.
const maxQuoted = 300

// said is what the server has to say, in one line. hidden are values that were
// sent and that it may repeat.
func said(errs []string, hidden ...[]byte) string {
	text := strings.Join(strings.Fields(strings.Join(errs, "; ")), " ")
	for _, h := range hidden {
		if leaks(text, h) {
			return "(what it says quotes a credential)"
		}
	}
	if len(text) > maxQuoted {
		text = text[:maxQuoted] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// leaks says whether text shows eight bytes in a row of h, or all of a shorter one.
func leaks(text string, h []byte) bool {
	n := min(len(h), 8)
	for i := 0; n > 0 && i+n <= len(h); i++ {
		if strings.Contains(text, string(h[i:i+n])) {
			return true
		}
	}
	return false
}

// A refusal is an answer that is an error, with the status that says which.
type refusal struct {
	status int
	text   string
	kind   error
}

func (e *refusal) Error() string { return fmt.Sprintf("%s: %v", e.text, e.kind) }
func (e *refusal) Unwrap() error { return e.kind }

// statusOf is the status of an answer that was an error, else 0.
func statusOf(err error) int {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.status
	}
	return 0
}

// refused makes an error of a reply whose status is not 2xx.
func refused(r *httpc.Reply, hidden ...[]byte) error {
	var a answer
	if json.Unmarshal(r.Body, &a) != nil {
		return r.Garbage()
	}
	defer a.wipe()
	text, kind := meaning(r.Status, said(append(a.Errors, a.Warnings...), hidden...))
	err := error(&refusal{status: r.Status, text: text, kind: kind})
	if alone(r.Status) {
		return backend.Alone(err)
	}
	return err
}

// alone says that a status tells something of one path, and not of the server
// (api-docs, "HTTP status codes").
func alone(status int) bool {
	return status == 400 || status == 403 || status == 404 || status == 405 || status == 500
}

// meaning of the statuses that the API documents.
func meaning(status int, said string) (text string, kind error) {
	if said == "" {
		said = "no reason is given"
	}
	switch status {
	case 400, 405:
		return fmt.Sprintf("the server does not take the request (status %d: %s)", status, said), backend.ErrUnsupported
	case 401, 403:
		return fmt.Sprintf("the server refuses it (status %d: %s)", status, said), backend.ErrRejected
	case 404:
		return "there is nothing at this path", backend.ErrNotFound
	case 412:
		return "the node has not caught up with the last write yet (status 412)", backend.ErrUnavailable
	case 429:
		return fmt.Sprintf("too many requests (status 429: %s)", said), backend.ErrUnavailable
	case 472, 473:
		return fmt.Sprintf("the node is a standby that does not answer (status %d): name an active one in address", status), backend.ErrUnavailable
	case 503:
		if strings.Contains(strings.ToLower(said), "sealed") {
			return "the server is sealed: somebody who holds its unseal keys has to unseal it", backend.ErrUnavailable
		}
		return fmt.Sprintf("the server is in maintenance, or sealed (status 503: %s)", said), backend.ErrUnavailable
	}
	return fmt.Sprintf("the server answers with status %d (%s)", status, said), backend.ErrUnavailable
}
