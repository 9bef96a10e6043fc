package vault

import (
	"encoding/json"
	"testing"
)

// FuzzUnquote compares with encoding/json whatever that takes for a string.
func FuzzUnquote(f *testing.F) {
	for _, seed := range []string{`""`, `"a"`, `"\"\\\/\b\f\n\r\t"`, `"\u00e9\ud83d\udd11\ud83d x\udd11"`, `"\ud83d\ud83d\udd11"`, `"é` + "\xff" + `"`, `"\u000`, `"\`, `[`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var raw json.RawMessage
		var want string
		if json.Unmarshal(in, &want) != nil || json.Unmarshal(in, &raw) != nil || len(raw) == 0 || raw[0] != '"' {
			if v, err := unquote(in); err == nil { // must not panic; an answer is as good
				v.Destroy()
			}
			return
		}
		v, err := unquote(raw)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		defer v.Destroy()
		// encoding/json puts U+FFFD in the place of bytes that are no UTF-8; here
		// they stay as they are.
		if got := string([]rune(string(v.Bytes()))); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	})
}
