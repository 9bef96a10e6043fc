package backend

import (
	"context"
	"strings"
)

// A Lister is a Remote that can tell what lies at a place in it, so that entries
// of `directories:` can show it. The Resolver answers the filesystem from what it
// was told last, has it looked up anew in the background, and keeps it for the
// next process: a Lister keeps nothing.
type Lister interface {
	// Entries lists what lies directly in place, in any order, and fetches no
	// value. place is what the policy.Driver's Directory gave DirKey for an entry of
	// `directories:`, or the Key of an Item that is a Dir. It ends with ctx; the
	// error wraps a sentinel of this package, ErrNotFound where there is no such
	// place.
	Entries(ctx context.Context, place string) ([]Item, error)
}

// An Item is what a Lister tells of one thing.
type Item struct {
	// Name is what the source calls it, of whatever characters: FileName makes a
	// file's name of it.
	Name string `json:"name"`
	// Key is what Get is to be asked for; of a Dir, what Entries is.
	Key string `json:"key"`
	Dir bool   `json:"dir,omitempty"`
	// ID tells items of one name apart, for people. Where it is empty they get
	// something that follows from Key.
	ID string `json:"id,omitempty"`
}

// Keys of what a Lister lists begin with dirMark and the place where the policy
// starts; after placeEnd comes the path of files from there. No other key may
// begin with dirMark.
const dirMark, placeEnd = "\x00", "\x00"

// DirKey is the key of a directory that shows place, for the Directory func of a
// driver. The Resolver of a Lister knows it, and what the filesystem appends to
// it: "/" and the name of a file.
func DirKey(place string) string { return dirMark + place + placeEnd }

// splitDirKey undoes DirKey. The path has no NUL in it, whatever place has.
func splitDirKey(key string) (place, path string, ok bool) {
	rest, ok := strings.CutPrefix(key, dirMark)
	if !ok {
		return "", "", false
	}
	i := strings.LastIndex(rest, placeEnd)
	if i < 0 {
		return "", "", false
	}
	return rest[:i], strings.TrimPrefix(rest[i+len(placeEnd):], "/"), true
}

// KeyText is key as people are shown it.
func KeyText(key string) string {
	place, path, ok := splitDirKey(key)
	switch {
	case !ok:
		return key
	case path == "":
		return place
	}
	return place + "/" + path
}
