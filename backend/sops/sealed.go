package sops

import (
	"bytes"
	"encoding/base64"
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

// room is what decode needs to decode to.
func (s sealed) room() int {
	return base64.StdEncoding.DecodedLen(len(s.data)) + base64.StdEncoding.DecodedLen(len(s.tag))
}

// decode fills room with ciphertext and tag.
func (s sealed) decode(room []byte) (ciphertext []byte, err error) {
	enc := base64.StdEncoding
	if len(room) < s.room() {
		return nil, errNotSealed
	}
	n, err := enc.Decode(room, s.data)
	if err != nil {
		return nil, errNotSealed
	}
	m, err := enc.Decode(room[n:], s.tag)
	if err != nil {
		return nil, errNotSealed
	}
	return room[:n+m], nil
}
