package conf

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields reads the entries of one map by key. A value of the wrong type is
// added to the problems and reads as if it were not given; null reads as not
// given too, since that is what generators write for unset options.
type Fields struct {
	node     *Node
	pos      Pos
	problems *Problems
}

// Open reads n, which must be a map or null (or nil), and adds a problem for
// every key that is not among known.
func Open(n *Node, problems *Problems, known ...string) Fields {
	if n == nil {
		return Fields{problems: problems}
	}
	return OpenAt(n, n.Pos, problems, known...)
}

// OpenAt is like Open for a map with a place of its own, that of its key: a
// YAML map begins where its first entry does, which is not what is meant when
// something is missing in it.
func OpenAt(n *Node, pos Pos, problems *Problems, known ...string) Fields {
	f := Fields{node: n, pos: pos, problems: problems}
	if n.Kind != Map {
		if n.Kind != Null {
			problems.Addf(n.Pos, "want a map, have %v", n.Kind)
			f.problems = newProblems("") // what else is missing follows from that
		}
		f.node = nil
	}
	for _, k := range f.node.Keys() {
		if !k.wrong && !slices.Contains(known, k.Name) {
			problems.Addf(k.Pos, "unknown key%s", Suggest(k.Name, known))
		}
	}
	return f
}

// Get returns the value of key, nil where it is not given or null.
func (f Fields) Get(key string) *Node {
	if n := f.node.Get(key); n != nil && n.Kind != Null {
		return n
	}
	return nil
}

// Addf adds a problem with the value of key or, where it is not given, with
// the whole map.
func (f Fields) Addf(key, format string, args ...any) {
	pos := f.pos
	if n := f.Get(key); n != nil {
		pos = n.Pos
	}
	f.problems.Addf(pos, format, args...)
}

// Text reads a text; it is fallback where key is not given.
func (f Fields) Text(key, fallback string) string {
	if n := f.Get(key); n.is(Text, f.problems) {
		return n.Text
	}
	return fallback
}

// Required reads a text that must be given and not be empty.
func (f Fields) Required(key string) string {
	n := f.Get(key)
	switch {
	case n == nil:
		f.Addf(key, "%s is missing", key)
	case n.is(Text, f.problems) && n.Text == "":
		f.Addf(key, "is empty")
	}
	return f.Text(key, "")
}

// Path reads the path of a file, which is taken as relative to dir, and
// returns it absolute and clean; it is fallback where key is not given.
func (f Fields) Path(key, dir, fallback string) string {
	if f.Get(key) == nil {
		return fallback
	}
	return absolute(f.Required(key), dir)
}

func absolute(path, dir string) string {
	switch {
	case path == "":
		return ""
	case filepath.IsAbs(path):
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// Account reads a user as whom something is to run, by name or number; it is ""
// where key is not given.
func (f Fields) Account(key string) string {
	n := f.Get(key)
	if n == nil {
		return ""
	}
	if n.Kind == Number && strings.Trim(n.Text, "0123456789") == "" {
		return strings.Clone(n.Text)
	}
	user := f.Required(key)
	if strings.ContainsAny(user, ":/\n\x00") || len(user) > 256 {
		f.Addf(key, "no user can be called %q", user)
	}
	return strings.Clone(user)
}

// Bool reads true or false.
func (f Fields) Bool(key string, fallback bool) bool {
	if n := f.Get(key); n.is(Bool, f.problems) {
		return n.Text == "true"
	}
	return fallback
}

// Duration reads a length of time, "30s" or "24h", that is not negative.
func (f Fields) Duration(key string, fallback time.Duration) time.Duration {
	n := f.Get(key)
	if n == nil {
		return fallback
	}
	d, err := time.ParseDuration(n.Text)
	switch {
	case n.Kind != Text || err != nil:
		f.Addf(key, `want a length of time like "30s", "5m" or "24h", have %s`, n.Written())
	case d < 0:
		f.Addf(key, "%q is negative", n.Text)
	default:
		return d
	}
	return fallback
}

// Count reads a whole number of at least 1.
func (f Fields) Count(key string, fallback int) int {
	n := f.Get(key)
	if n == nil {
		return fallback
	}
	v, err := strconv.ParseUint(n.Text, 10, 31)
	if n.Kind != Number || err != nil || v == 0 {
		f.Addf(key, "want a whole number of at least 1, have %s", n.Written())
		return fallback
	}
	return int(v)
}

// OneOf reads a text that must be among choices.
func (f Fields) OneOf(key, fallback string, choices ...string) string {
	text := f.Text(key, fallback)
	if text != fallback && !slices.Contains(choices, text) {
		f.Addf(key, "want one of %s; have %q%s", strings.Join(choices, ", "), text, didYouMean(text, choices))
		return fallback
	}
	return text
}

// Texts reads a list of texts, none of them empty. check, where it is not nil,
// says what is wrong with one, "" where nothing is.
func (f Fields) Texts(key string, check func(string) string) []string {
	var texts []string
	items := f.List(key)
	for i := range items {
		item := &items[i]
		switch {
		case !item.is(Text, f.problems):
			continue
		case item.Text == "":
			f.problems.Addf(item.Pos, "is empty")
			continue
		case check != nil:
			if msg := check(item.Text); msg != "" {
				f.problems.Addf(item.Pos, "%s", msg)
				continue
			}
		}
		texts = append(texts, strings.Clone(item.Text))
	}
	return texts
}

// Paths is like Texts for paths of files, taken as relative to dir.
func (f Fields) Paths(key, dir string) []string {
	paths := f.Texts(key, nil)
	for i, p := range paths {
		paths[i] = absolute(p, dir)
	}
	return paths
}

// List reads a list of anything.
func (f Fields) List(key string) []Node {
	if n := f.Get(key); n.is(List, f.problems) {
		return n.Items()
	}
	return nil
}

// Map reads a map that has only the known keys. Where it is not given, the
// result has no entries.
func (f Fields) Map(key string, known ...string) Fields {
	keys := f.node.Keys()
	for i, k := range keys {
		if k.Name == key {
			return OpenAt(&f.node.Items()[i], k.Pos, f.problems, known...)
		}
	}
	return Fields{pos: f.pos, problems: f.problems}
}

// Each calls each for every entry of the map at key, whatever its name, in the
// order of the document. One whose key has a problem is left out.
func (f Fields) Each(key string, each func(Key, *Node)) {
	n := f.Get(key)
	if !n.is(Map, f.problems) {
		return
	}
	items := n.Items()
	for i, k := range n.Keys() {
		if !k.wrong {
			each(k, &items[i])
		}
	}
}

// is says whether n is given and of that kind, and adds a problem where it is
// given and of another.
func (n *Node) is(kind Kind, problems *Problems) bool {
	if n == nil {
		return false
	}
	if n.Kind != kind {
		problems.Addf(n.Pos, "want %v, have %s", kind, n.Written())
	}
	return n.Kind == kind
}

// Written names the value for an error. Values of a configuration are no
// secrets.
func (n *Node) Written() string {
	switch n.Kind {
	case Text:
		return "the text " + quoteShort(n.Text)
	case Number:
		return "the number " + n.Text
	case Bool:
		return n.Text
	}
	return n.Kind.String()
}
