package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary-plaintext"

// leaks says whether out shows the canary in any spelling that fmt has.
func leaks(out string) bool {
	for _, spelling := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("% x", canary), fmt.Sprint([]byte(canary)), "99 97 110"} {
		if strings.Contains(out, spelling) {
			return true
		}
	}
	return false
}

type holder struct {
	V       *Value
	ByValue Value
	hidden  *Value
	inner   Value
}

func TestEveryVerb(t *testing.T) {
	v := must(t, canary)
	defer v.Destroy()
	h := holder{v, *v, v, *v}
	for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".3", "+#", "# "} {
		for verb := rune('A'); verb <= 'z'; verb++ {
			if verb > 'Z' && verb < 'a' {
				continue
			}
			format := "%" + flags + string(verb)
			// fmt does not ask for %p, %T and (outside of Errorf) %w: it shows
			// addresses and the type's name.
			if out := fmt.Sprintf(format, v); !strings.ContainsRune("pTw", verb) && out != redacted {
				t.Errorf("%s: %s", format, out)
			}
			for _, arg := range []any{v, *v, h, &h, []*Value{v}, map[string]Value{"k": *v}, []any{v}, &v} {
				if out := fmt.Sprintf(format, arg); leaks(out) {
					t.Errorf("%s of %T shows the secret: %s", format, arg, out)
				}
			}
		}
	}
	if out := fmt.Sprintf("%v %+v", h, &h); strings.Count(out, redacted) < 4 {
		t.Errorf("exported fields are not shown as redacted: %s", out)
	}
	if v.String() != redacted || v.GoString() != redacted || fmt.Sprint(v) != redacted || fmt.Sprintln(v) != redacted+"\n" {
		t.Error("not redacted")
	}
	if err := fmt.Errorf("wrapped %v", v); err.Error() != "wrapped "+redacted {
		t.Error(err)
	}
}

func TestEveryEncoder(t *testing.T) {
	v := must(t, canary)
	defer v.Destroy()
	type exported struct {
		P *Value
		V Value
	}
	x := exported{v, *v}
	var text, js, bin, doc bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "p", v, "v", *v, "s", x)
	slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "p", v, "v", *v, "s", x)
	if err := json.NewEncoder(&js).Encode(x); err != nil {
		t.Error(err)
	}
	if err := xml.NewEncoder(&doc).Encode(x); err != nil {
		t.Error(err)
	}
	if err := gob.NewEncoder(&bin).Encode(v); err != nil {
		t.Error(err)
	}
	for name, out := range map[string]string{"slog": text.String(), "json": js.String(), "xml": doc.String(), "gob": bin.String()} {
		if leaks(out) || !strings.Contains(out, redacted) {
			t.Errorf("%s: %q", name, out)
		}
	}
	if got, want := js.String(), `{"P":"[redacted]","V":"[redacted]"}`+"\n"; got != want {
		t.Errorf("json: got %s want %s", got, want)
	}
}
