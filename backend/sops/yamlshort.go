package sops

import (
	"bytes"
	"crypto/rand"
	"strconv"
	"strings"
	"unsafe"

	"go.yaml.in/yaml/v3"
)

// A shortened is a YAML file whose encrypted values have become short words.
// They are nine tenths of a file, and the library takes its time over each byte.
//
// That changes nothing else: a value is only replaced where it ends a line and
// has none but bytes that mean themselves in every kind of scalar and comment,
// by a word of such bytes that begins and ends alike. Wherever the word turns
// up, restore puts the value back. The word is not to be guessed, so no file can
// have it of its own.
type shortened struct {
	file, text []byte
	mark       string
	values     []span
}

// A span is a part of the file.
type span struct{ start, end int }

func shorten(file []byte) *shortened {
	s := &shortened{file: file, mark: "ENC[~" + rand.Text()[:12] + "~"}
	s.values = make([]span, 0, bytes.Count(file, sealedMark))
	done := 0
	for {
		i := bytes.Index(file[done:], sealedMark)
		if i < 0 {
			break
		}
		v := span{done + i, lineEnd(file, done+i)}
		if !s.replaceable(v) {
			s.text = append(s.text, file[done:v.end]...)
			done = v.end
			continue
		}
		s.text = append(append(s.text, file[done:v.start]...), s.mark...)
		s.text = append(strconv.AppendInt(s.text, int64(len(s.values)), 10), ']')
		s.values = append(s.values, v)
		done = v.end
	}
	s.text = append(s.text, file[done:]...)
	return s
}

// lineEnd is where the line ends that i is in, without its CR or LF.
func lineEnd(file []byte, i int) int {
	end := len(file)
	if n := bytes.IndexByte(file[i:], '\n'); n >= 0 {
		end = i + n
	}
	if end > i && file[end-1] == '\r' {
		end--
	}
	return end
}

// replaceable says whether v is all of the value of a key or list item.
func (s *shortened) replaceable(v span) bool {
	before := s.file[:v.start]
	if !bytes.HasSuffix(before, []byte(": ")) && !bytes.HasSuffix(before, []byte("- ")) {
		return false
	}
	value := s.file[v.start:v.end]
	for _, c := range value {
		if !plainByte[c] {
			return false
		}
	}
	return value[len(value)-1] == ']'
}

// plainByte are the bytes that sops writes within an encrypted value.
var plainByte = func() (is [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_,:[]" {
		is[c] = true
	}
	return is
}()

// restore puts the values back into text. A text that is nothing but one value
// becomes the part of the file where it stands.
func (s *shortened) restore(text string) string {
	before, rest, found := strings.Cut(text, s.mark)
	if !found {
		return text
	}
	number, after, _ := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	if err != nil || i >= len(s.values) {
		return text
	}
	v := s.values[i]
	value := unsafe.String(&s.file[v.start], v.end-v.start)
	if before == "" && after == "" {
		return value
	}
	return before + value + s.restore(after)
}

// restoreAll restores a document before anything is made of it.
func (s *shortened) restoreAll(n *yaml.Node) {
	if len(s.values) == 0 {
		return
	}
	for _, text := range []*string{&n.Value, &n.HeadComment, &n.LineComment, &n.FootComment} {
		if *text != "" {
			*text = s.restore(*text)
		}
	}
	for _, c := range n.Content {
		s.restoreAll(c)
	}
}
