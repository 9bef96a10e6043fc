package sops

import (
	"bytes"
	"encoding/base64"
	"slices"
)

// tagSize is the length of a GCM tag (NIST SP 800-38D).
const tagSize = 16

// A sealed is an encrypted value as it stands in the file:
//
//	ENC[AES256_GCM,data:BASE64,iv:BASE64,tag:BASE64,type:TYPE]
//
// The slices point into the file's bytes.
type sealed struct {
	data, iv, tag []byte // base64
	kind          kind
}

var sealedMark = []byte("ENC[AES256_GCM,data:")

// sealedTypes are the types that sops knows. It writes no "bytes", and panics
// when it decrypts them.
var sealedTypes = map[string]kind{
	"str": kindString, "int": kindInt, "float": kindFloat, "bool": kindBool,
	"time": kindTime, "comment": kindComment, "bytes": kindBytes,
}

// parseSealed takes text apart. It accepts what sops accepts: anything may
// follow the last bracket of the first line.
func parseSealed(text []byte) (s sealed, ok bool) {
	rest, ok := bytes.CutPrefix(text, sealedMark)
	if !ok {
		return s, false
	}
	if i := bytes.IndexByte(rest, '\n'); i >= 0 {
		rest = rest[:i]
	}
	end := bytes.LastIndexByte(rest, ']')
	if end < 0 {
		return s, false
	}
	rest = rest[:end]
	var typ []byte
	if s.data, rest, ok = bytes.Cut(rest, []byte(",iv:")); !ok {
		return s, false
	}
	if s.iv, rest, ok = bytes.Cut(rest, []byte(",tag:")); !ok {
		return s, false
	}
	if s.tag, typ, ok = bytes.Cut(rest, []byte(",type:")); !ok {
		return s, false
	}
	known, ok := sealedTypes[string(typ)]
	if !ok || len(s.data) == 0 || len(s.iv) == 0 || len(s.tag) == 0 {
		return s, false
	}
	s.kind = known
	return s, true
}

// size is the length of the plaintext, which GCM keeps. The border between data
// and tag is not authenticated; only their sum counts.
func (s sealed) size() int {
	return max(0, base64Size(s.data)+base64Size(s.tag)-tagSize)
}

// base64Size is the length of what text decodes to; like the decoder, it skips
// carriage returns.
func base64Size(text []byte) int {
	n := len(text) - bytes.Count(text, []byte{'\r'})
	size := n / 4 * 3
	for i := len(text) - 1; i >= 0 && (text[i] == '=' || text[i] == '\r'); i-- {
		if text[i] == '=' {
			size--
		}
	}
	return size
}

// decode appends what the parts of s decode to.
func (s sealed) decode(buf []byte) (iv, ciphertext []byte, err error) {
	enc := base64.StdEncoding
	buf = slices.Grow(buf[:0], enc.DecodedLen(len(s.iv)+len(s.data)+len(s.tag))+3)
	if iv, err = enc.AppendDecode(buf[:0], s.iv); err != nil {
		return nil, nil, errNotSealed
	}
	n := len(iv)
	all, err := enc.AppendDecode(iv, s.data)
	if err != nil {
		return nil, nil, errNotSealed
	}
	if all, err = enc.AppendDecode(all, s.tag); err != nil {
		return nil, nil, errNotSealed
	}
	return all[:n], all[n:], nil
}
