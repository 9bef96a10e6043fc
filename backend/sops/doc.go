// Package sops reads secrets out of one file that getsops/sops encrypted:
// YAML, JSON, dotenv, INI or binary. It is a reader of its own, because the one
// in sops/v3 links the SDK of every cloud and is quadratic in the number of
// keys; sops/v3 is what its tests compare it with.
//
// A file is indexed once. The index holds names, places and lengths, no
// plaintext, and serves sizes and listings while no key is at hand. The data key
// is recovered and the MAC over all values checked once per version of the file;
// from then on a read decrypts one value into locked memory.
//
// Keys name values as paths: "a/b/0" in YAML and JSON, "section/key" in INI
// ("DEFAULT/key" above the first section), the variable in dotenv. "" is the
// whole plaintext file, byte for byte what `sops decrypt` prints. A key that
// names a sub-tree gives it in the file's own format. In a YAML stream of
// several documents, keys look into the first, as `sops decrypt --extract`
// does. Entries of a list count from 0, comments not counted. A name that
// itself contains a slash is found as it stands: at each level the longest name
// that matches wins. Of two equal names the first one wins.
//
// Scalars that are no strings come as text: integers in decimal, floating-point
// numbers in decimal without exponent (the text that sops encrypts, so that the
// length is known), true and false, timestamps in RFC 3339, and null. No line
// feed is added.
//
// What sops refuses is refused, and a little more: what is nested deeper than
// 1,000 levels (YAML) or has more than two million entries would take the memory
// of everybody, and a comment that holds a value may have been one.
//
// What it does not do: recover data keys (package keys), write files, or guard
// against copies: crypto/aes keeps the expanded data key on the Go heap, and
// rendering a YAML file or sub-tree copies plaintext through the YAML library.
package sops
