package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// A generator makes one-time codes (RFC 6238).
type generator struct {
	key    *secret.Value
	hash   func() hash.Hash
	digits int
	period int64 // seconds
	steam  bool  // Steam's own alphabet
}

// newGenerator reads a TOTP secret as people store it: base32, an otpauth URI
// (Key URI Format), or steam://.
func newGenerator(text []byte) (*generator, error) {
	g := &generator{hash: sha1.New, digits: 6, period: 30}
	text = bytes.TrimSpace(text)
	lower := strings.ToLower(string(text[:min(len(text), 10)]))
	switch {
	case strings.HasPrefix(lower, "steam://"):
		g.steam, g.digits = true, 5
		return g, g.setKey(text[len("steam://"):])
	case strings.HasPrefix(lower, "otpauth://"):
		return g, g.readURI(string(text)) // of which copies are on the heap
	}
	return g, g.setKey(text)
}

func notTOTP(why string) error {
	return fmt.Errorf("its TOTP secret is not usable: %s: %w", why, backend.ErrUnsupported)
}

func (g *generator) setKey(text []byte) error {
	clean := make([]byte, 0, len(text))
	defer func() { secret.Wipe(clean) }()
	for _, c := range text {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != ' ' && c != '-' && c != '=' {
			clean = append(clean, c)
		}
	}
	return g.decode(clean)
}

func (g *generator) decode(upper []byte) error {
	b32 := base32.StdEncoding.WithPadding(base32.NoPadding)
	key, err := secret.New(b32.DecodedLen(len(upper)))
	if err != nil {
		return err
	}
	n, err := b32.Decode(key.Bytes(), upper)
	if err != nil || n == 0 {
		key.Destroy()
		return notTOTP("it is not base32")
	}
	g.key = key
	return nil
}

func (g *generator) readURI(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host != "totp" {
		return notTOTP("it is not an otpauth://totp URI")
	}
	q := u.Query()
	switch strings.ToUpper(q.Get("algorithm")) {
	case "", "SHA1":
	case "SHA256":
		g.hash = sha256.New
	case "SHA512":
		g.hash = sha512.New
	default:
		return notTOTP("its algorithm is not SHA1, SHA256 or SHA512")
	}
	if n, err := strconv.Atoi(q.Get("digits")); err == nil && n >= 1 && n <= 10 {
		g.digits = n
	}
	if n, err := strconv.ParseInt(q.Get("period"), 10, 32); err == nil && n > 0 {
		g.period = n
	}
	return g.setKey([]byte(q.Get("secret")))
}

func (g *generator) destroy() { g.key.Destroy() }

func (g *generator) counter(now time.Time) uint64 { return uint64(now.Unix() / g.period) }

// code is the code of that time (RFC 4226 5.3).
func (g *generator) code(now time.Time) (*secret.Value, error) {
	h := hmac.New(g.hash, g.key.Bytes())
	binary.Write(h, binary.BigEndian, g.counter(now))
	sum := h.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0xf:]) & 0x7fffffff
	v, err := secret.New(g.digits)
	if err != nil {
		return nil, err
	}
	const steam = "23456789BCDFGHJKMNPQRTVWXY"
	b, rest := v.Bytes(), uint64(n)
	for i := range b {
		if g.steam {
			b[i] = steam[rest%26]
			rest /= 26
			continue
		}
		b[len(b)-1-i] = '0' + byte(rest%10)
		rest /= 10
	}
	return v, nil
}

// Code is the code of a TOTP secret, as people store it, at a time.
func Code(seed *secret.Value, now time.Time) (*secret.Value, error) {
	g, err := newGenerator(seed.Bytes())
	if err != nil {
		return nil, err
	}
	defer g.destroy()
	return g.code(now)
}
