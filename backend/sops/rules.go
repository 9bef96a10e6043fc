package sops

import (
	"regexp"
	"strings"
)

// rules say which values of a file are encrypted (getsops/sops, README.rst,
// "Encrypting only parts of a file"). At most one of the six kinds is in force.
type rules struct {
	match func(string) bool
	// comments: match looks at comments, not at names.
	comments bool
	// clear: what matches is left unencrypted, all else encrypted; without it
	// the other way round.
	clear bool
}

// defaultUnencryptedSuffix holds where a file names no rule.
const defaultUnencryptedSuffix = "_unencrypted"

func suffixRule(suffix string) func(string) bool {
	return func(s string) bool { return strings.HasSuffix(s, suffix) }
}

// regexRule matches nothing where the expression does not compile, as in sops.
func regexRule(expr string) func(string) bool {
	re, err := regexp.Compile(expr)
	if err != nil {
		return func(string) bool { return false }
	}
	return re.MatchString
}

// A scope is what the rules make of one place of the tree. Every name on the way
// counts, and every comment that stands directly above one of them.
type scope struct {
	rules *rules
	hit   bool // from above: names, or comments of outer levels
	level bool // comments seen on this level since the last value
}

// into is the scope of the member called name.
func (s scope) into(name string) scope {
	if s.rules.comments {
		return scope{rules: s.rules, hit: s.hit || s.level}
	}
	return scope{rules: s.rules, hit: s.hit || s.rules.match(name)}
}

// item is the scope of an entry of a list, which has no name.
func (s scope) item() scope { return scope{rules: s.rules, hit: s.hit || s.level} }

func (s scope) encrypted() bool { return (s.hit || s.level) != s.rules.clear }

// comment takes notice of a comment and says whether that comment itself is
// encrypted. With encrypted_comment_regex a comment does not speak for itself,
// else the expression could not be read before it is decrypted.
func (s *scope) comment(text string) (encrypted bool) {
	if !s.rules.comments {
		return s.encrypted()
	}
	before := s.encrypted()
	if s.rules.match(text) {
		s.level = true
	}
	if s.rules.clear {
		return s.encrypted()
	}
	return before
}

// value forgets the comments above a value that has been passed.
func (s *scope) value() { s.level = false }
