package sops

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// A jsonReader turns a JSON object into a tree. It is as lenient as the decoder
// that sops uses: names may repeat, what is not UTF-8 is replaced, and what
// follows the object is not looked at.
type jsonReader struct {
	file  []byte
	dec   *jsontext.Decoder
	nodes int
}

func parseJSON(file []byte) ([]node, error) {
	// The decoder reads a Buffer in place, and copies from any other reader.
	r := jsonReader{file: file, dec: jsontext.NewDecoder(bytes.NewBuffer(file),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	if r.dec.PeekKind() != jsontext.KindBeginObject {
		return nil, r.fail(errors.New("it does not start with an object"))
	}
	root, err := r.value()
	if err != nil {
		return nil, err
	}
	return []node{root}, nil
}

// fail tells the line and nothing of the text.
func (r *jsonReader) fail(err error) error {
	line := 1 + bytes.Count(r.file[:r.dec.InputOffset()], []byte{'\n'})
	if syntactic := (*jsontext.SyntacticError)(nil); errors.As(err, &syntactic) {
		line = 1 + bytes.Count(r.file[:min(int(syntactic.ByteOffset), len(r.file))], []byte{'\n'})
		err = errors.New("not valid JSON")
	}
	return fmt.Errorf("line %d: %w", line, err)
}

func (r *jsonReader) value() (node, error) {
	if r.nodes++; r.nodes > maxNodes {
		return node{}, errNodes
	}
	switch r.dec.PeekKind() {
	case jsontext.KindBeginObject:
		return r.object()
	case jsontext.KindBeginArray:
		return r.array()
	case jsontext.KindString:
		text, err := r.text()
		return node{kind: kindString, text: text}, err
	}
	raw, err := r.dec.ReadValue()
	if err != nil {
		return node{}, r.fail(err)
	}
	switch raw.Kind() {
	case jsontext.KindTrue, jsontext.KindFalse:
		return scalar(raw.Kind() == jsontext.KindTrue), nil
	case jsontext.KindNumber:
		return r.number(string(raw))
	}
	return node{kind: kindNull}, nil
}

func (r *jsonReader) number(text string) (node, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return scalar(int(i)), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return node{}, r.fail(errors.New("a number out of range"))
	}
	return scalar(f), nil
}

func (r *jsonReader) object() (node, error) {
	n := node{kind: kindMap}
	if _, err := r.dec.ReadToken(); err != nil {
		return n, r.fail(err)
	}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		name, err := r.text()
		if err != nil {
			return n, err
		}
		hint := uint32(r.dec.InputOffset())
		k, err := r.value()
		if err != nil {
			return n, err
		}
		k.name, k.named, k.hint = name, true, hint
		n.kids = append(n.kids, k)
	}
	_, err := r.dec.ReadToken()
	return n, err
}

func (r *jsonReader) array() (node, error) {
	n := node{kind: kindList}
	if _, err := r.dec.ReadToken(); err != nil {
		return n, r.fail(err)
	}
	for r.dec.PeekKind() != jsontext.KindEndArray {
		hint := uint32(r.dec.InputOffset())
		k, err := r.value()
		if err != nil {
			return n, err
		}
		k.hint = hint
		n.kids = append(n.kids, k)
	}
	_, err := r.dec.ReadToken()
	return n, err
}

// text reads a string. Where the file has it as it is, the result points into
// the file.
func (r *jsonReader) text() (string, error) {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return "", r.fail(err)
	}
	if raw.Kind() != jsontext.KindString {
		return "", r.fail(errors.New("not valid JSON"))
	}
	end := int(r.dec.InputOffset())
	body := r.file[end-len(raw)+1 : end-1]
	if plainJSON(body) {
		return unsafe.String(unsafe.SliceData(body), len(body)), nil
	}
	var text string
	if err := stdjson.Unmarshal(raw, &text); err != nil {
		return "", r.fail(errors.New("not valid JSON"))
	}
	return text, nil
}

// plainJSON says that a string's body stands for itself.
func plainJSON(body []byte) bool {
	for _, c := range body {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}
