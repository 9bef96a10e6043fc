package conf

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonReader builds nodes from tokens. A policy of 10,000 secrets that Nix
// wrote is 60,000 nodes on a single line, so it cuts texts out of one copy
// of the document and takes containers from slabs.
type jsonReader struct {
	dec      *jsontext.Decoder
	src      string
	problems *Problems
	at       cursor
	// keys and items are stacks of the containers that are still open.
	keys      []Key
	items     []Node
	keySlab   []Key
	itemSlab  []Node
	childSlab []children
}

// parseJSON reads the whole document, or adds the problem that kept it from that.
func parseJSON(data []byte, problems *Problems) (doc *Node, whole bool) {
	// Duplicates are found here, all of them and with both places.
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
	r := &jsonReader{dec: dec, src: string(data), problems: problems, at: cursor{line: 1, col: 1}}
	top, err := r.value()
	if err == nil {
		if _, err = dec.ReadToken(); errors.Is(err, io.EOF) {
			return &top, true
		} else if err == nil {
			err = errors.New("a second document begins here")
		}
	}
	r.syntaxError(err)
	return &top, false
}

func (r *jsonReader) syntaxError(err error) {
	offset, msg := r.dec.InputOffset(), err.Error()
	if syntax := (*jsontext.SyntacticError)(nil); errors.As(err, &syntax) {
		offset, msg = syntax.ByteOffset, syntax.Err.Error()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		offset, msg = int64(len(r.src)), "the file ends in the middle"
	}
	r.problems.Addf(posAt(r.src, int(offset)), "reading as JSON, since it begins with {: %s", msg)
}

func (r *jsonReader) value() (Node, error) {
	switch r.dec.PeekKind() {
	case '{':
		return r.container(Map)
	case '[':
		return r.container(List)
	}
	text, pos, err := r.scalar()
	if err != nil {
		return Node{}, err
	}
	n := Node{Text: text, Pos: pos}
	switch text[0] {
	case '"':
		n.Kind = Text
		n.Text, err = unquote(text)
	case 'n':
		n.Kind, n.Text = Null, ""
	case 't', 'f':
		n.Kind = Bool
	default:
		n.Kind = Number
	}
	return n, err
}

// scalar reads one scalar and returns it as it is written.
func (r *jsonReader) scalar() (string, Pos, error) {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return "", Pos{}, err
	}
	end := int(r.dec.InputOffset())
	start := end - len(raw)
	return r.src[start:end], r.at.advance(r.src, start), nil
}

func (r *jsonReader) container(kind Kind) (Node, error) {
	if _, err := r.dec.ReadToken(); err != nil {
		return Node{}, err
	}
	n := Node{Kind: kind, Pos: r.at.advance(r.src, int(r.dec.InputOffset())-1)}
	firstKey, firstItem := len(r.keys), len(r.items)
	for kindNext := r.dec.PeekKind(); kindNext != '}' && kindNext != ']'; kindNext = r.dec.PeekKind() {
		if kind == Map {
			if err := r.key(); err != nil {
				return Node{}, err
			}
		}
		item, err := r.value()
		if err != nil {
			return Node{}, err
		}
		r.items = append(r.items, item)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return Node{}, err
	}
	duplicates(r.keys[firstKey:], r.problems)
	n.children = &take(&r.childSlab, []children{{
		keys:  take(&r.keySlab, r.keys[firstKey:]),
		items: take(&r.itemSlab, r.items[firstItem:]),
	}})[0]
	r.keys, r.items = r.keys[:firstKey], r.items[:firstItem]
	return n, nil
}

func (r *jsonReader) key() error {
	// The decoder refuses anything but a string here.
	text, pos, err := r.scalar()
	if err != nil {
		return err
	}
	name, err := unquote(text)
	r.keys = append(r.keys, Key{Name: name, Pos: pos})
	return err
}

// unquote cuts a text without escapes out of the document and copies the rest.
func unquote(quoted string) (string, error) {
	if strings.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	return string(text), err
}

// slabLen is the number of elements that are allocated at a time.
const slabLen = 512

// take copies from into memory cut off slab.
func take[T any](slab *[]T, from []T) []T {
	if len(from) == 0 {
		return nil
	}
	if len(from) > cap(*slab)-len(*slab) {
		*slab = make([]T, 0, max(slabLen, len(from)))
	}
	start := len(*slab)
	*slab = append(*slab, from...)
	return (*slab)[start:len(*slab):len(*slab)]
}

// A cursor turns offsets that only grow into places.
type cursor struct {
	offset    int
	line, col int32
}

// posAt is the place of one offset.
func posAt(src string, offset int) Pos {
	c := cursor{line: 1, col: 1}
	return c.advance(src, offset)
}

func (c *cursor) advance(src string, offset int) Pos {
	gap := src[c.offset:offset]
	if newlines := strings.Count(gap, "\n"); newlines > 0 {
		c.line += int32(newlines)
		c.col = 1
		gap = gap[strings.LastIndexByte(gap, '\n')+1:]
	}
	c.col += int32(utf8.RuneCountInString(gap))
	c.offset = offset
	return Pos{c.line, c.col}
}
