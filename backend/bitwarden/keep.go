package bitwarden

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/bitwarden/api"
	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/secret"
)

// A keptSession is what another process needs to go on with a session. What is
// secret of it is encrypted with the account's key, so that it may lie on a disk.
type keptSession struct {
	Mark    string // whose it is
	Device  string
	Account api.Account
	Sealed  string    `json:",omitempty"` // tokens
	Expires time.Time // of the access token
	// Check opens with the account's key that belongs to the session, where that is
	// kept as well: the two are not written at once.
	Check string `json:",omitempty"`
	// Versions are names of states of secrets, by digests of ciphertext.
	Versions map[string]backend.Version `json:",omitempty"`
}

// mark tells sessions of different accounts and servers apart, since a policy can
// have another one under the same name.
func (s *Settings) mark() string {
	sum := sha256.Sum256(fmt.Append(nil, s.Hosts.Identity, "\n", s.Email, "\n", s.KnownID, "\n", s.ClientID.String()))
	return hex.EncodeToString(sum[:16])
}

// The purposes of keys that are derived from the account's key.
const (
	forTokens = "secretfs tokens"
	forCopy   = "secretfs copy of the vault"
	forCheck  = "secretfs state"
)

// keep writes down a session.
func (s *session) keep(names map[string]backend.Version) ([]byte, error) {
	k := keptSession{Versions: names, Mark: s.cfg.mark(), Device: s.device, Account: s.tokens.Account, Expires: s.tokens.Expires, Sealed: s.sealed}
	if s.user != nil && s.tokens.Access.Len()+s.tokens.Refresh.Len()+s.tokens.Remember.Len() > 0 {
		var err error
		if k.Sealed, err = s.seal(); err != nil {
			return nil, err
		}
	}
	if s.user != nil {
		var err error
		if k.Check, err = checkOf(s.user, k.Mark); err != nil {
			return nil, err
		}
	}
	return json.Marshal(k)
}

// checkOf seals something that is known.
func checkOf(user *enc.Key, mark string) (string, error) {
	key, err := user.Derive(forCheck)
	if err != nil {
		return "", err
	}
	defer key.Destroy()
	return key.Seal([]byte(mark))
}

// belongs says whether user is the key with which check was made.
func belongs(user *enc.Key, check, mark string) bool {
	key, err := user.Derive(forCheck)
	if err != nil {
		return false
	}
	defer key.Destroy()
	text, err := enc.Parse(check)
	if err != nil {
		return false
	}
	got, err := key.Open(text)
	if err != nil {
		return false
	}
	defer got.Destroy()
	return string(got.Bytes()) == mark
}

func (s *session) seal() (string, error) {
	key, err := s.user.Derive(forTokens)
	if err != nil {
		return "", err
	}
	defer key.Destroy()
	all := []*secret.Value{s.tokens.Access, s.tokens.Refresh, s.tokens.Remember}
	n := 0
	for _, v := range all {
		n += 4 + v.Len()
	}
	joined, err := secret.New(n)
	if err != nil {
		return "", err
	}
	defer joined.Destroy()
	b := joined.Bytes()
	for _, v := range all {
		binary.BigEndian.PutUint32(b, uint32(v.Len()))
		b = b[4+copy(b[4:], v.Bytes()):]
	}
	return key.Seal(joined.Bytes())
}

// unseal takes up the tokens of an earlier process, once the account's key is
// there. If it cannot, we log in.
func (s *session) unseal() {
	sealed := s.sealed
	if s.sealed = ""; sealed == "" {
		return
	}
	tokens, err := openTokens(s.user, sealed)
	if err != nil {
		s.log.Warn("the tokens of an earlier session are not usable", "error", err)
		return
	}
	for i, into := range []**secret.Value{&s.tokens.Access, &s.tokens.Refresh, &s.tokens.Remember} {
		if (*into).Len() > 0 || tokens[i].Len() == 0 {
			tokens[i].Destroy()
			continue
		}
		*into = tokens[i]
	}
}

func openTokens(user *enc.Key, sealed string) (tokens [3]*secret.Value, err error) {
	key, err := user.Derive(forTokens)
	if err != nil {
		return tokens, err
	}
	defer key.Destroy()
	text, err := enc.Parse(sealed)
	if err != nil {
		return tokens, err
	}
	joined, err := key.Open(text)
	if err != nil {
		return tokens, err
	}
	defer joined.Destroy()
	b := joined.Bytes()
	for i := range tokens {
		n := int(binary.BigEndian.Uint32(b))
		if tokens[i], err = secret.New(n); err != nil {
			return tokens, err
		}
		b = b[4+copy(tokens[i].Bytes(), b[4:]):]
	}
	return tokens, nil
}

// restore takes over a session that was written down, and gives the names of
// versions in it. user, which may be nil, is the
// account's key and the session's from then on.
func (s *session) restore(text []byte, user *enc.Key) (names map[string]backend.Version, err error) {
	var k keptSession
	if err := json.Unmarshal(text, &k); err != nil || k.Mark != s.cfg.mark() || k.Device == "" {
		user.Destroy()
		return nil, errors.New("it is damaged, or of another account")
	}
	if user != nil && !belongs(user, k.Check, k.Mark) {
		user.Destroy()
		return nil, errors.New("its key is of another session")
	}
	s.device, s.sealed = k.Device, k.Sealed
	s.tokens.Account, s.tokens.Expires = k.Account, k.Expires
	s.user, s.openedFrom = user, k.Account.WrappedKey
	if user != nil {
		s.unseal()
	}
	return k.Versions, nil
}

// A copyHead stands before the sync answer in a copy of a vault.
type copyHead struct {
	Mark     string
	Revision int64
	Synced   time.Time // when the server was last known to have nothing newer
	MAC      []byte    `json:",omitempty"` // over the rest of the head and the answer
}

// maxHead is the length of a head as it is written, or a little more.
const maxHead = 256

// appendCopy appends a copy of a vault that nobody can change unnoticed.
func appendCopy(b []byte, head copyHead, raw []byte, user *enc.Key) ([]byte, error) {
	mac, err := head.mac(raw, user)
	if err != nil {
		return nil, err
	}
	head.MAC = mac
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	return append(append(append(b, line...), '\n'), raw...), nil
}

func (h copyHead) mac(raw []byte, user *enc.Key) ([]byte, error) {
	h.MAC = nil
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	key, err := user.Derive(forCopy)
	if err != nil {
		return nil, err
	}
	defer key.Destroy()
	return key.MAC(text, []byte{'\n'}, raw), nil
}

// readCopy reads what appendCopy made; raw shares its memory.
func readCopy(b []byte, mark string, user *enc.Key) (head copyHead, raw []byte, err error) {
	line, raw, ok := bytes.Cut(b, []byte{'\n'})
	if !ok || json.Unmarshal(line, &head) != nil {
		return head, nil, errors.New("it is damaged")
	}
	if head.Mark != mark {
		return head, nil, errors.New("it is of another account")
	}
	mac, err := head.mac(raw, user)
	if err != nil {
		return head, nil, err
	}
	if !hmac.Equal(mac, head.MAC) {
		return head, nil, errors.New("it is damaged, or was changed, or belongs to another key of the account")
	}
	return head, raw, nil
}
