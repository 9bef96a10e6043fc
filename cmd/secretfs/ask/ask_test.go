package ask

import (
	"strings"
	"testing"
	"testing/iotest"
)

var question = Question{Title: "backend bw", Prompt: "master password"}

func TestLines(t *testing.T) {
	l := Lines(iotest.OneByteReader(strings.NewReader("one\n two \r\n\nlast")))
	for _, want := range []string{"one", " two \r", "", "last"} {
		v, err := l.Ask(t.Context(), question)
		if err != nil || string(v.Bytes()) != want {
			t.Errorf("got %q, %v, want %q", v.Bytes(), err, want)
		}
		v.Destroy()
	}
	if _, err := l.Ask(t.Context(), question); err == nil || err.Error() != "reading the master password of backend bw: stdin has ended" {
		t.Errorf("at the end: %v", err)
	}
	if _, err := Lines(strings.NewReader(strings.Repeat("x", maxLen+1))).Ask(t.Context(), question); err == nil || !strings.Contains(err.Error(), "longer than 65536 bytes") {
		t.Errorf("without an end: %v", err)
	}
}

// A pinentry's part of a conversation, as the real ones speak it.
func TestConverse(t *testing.T) {
	for name, c := range map[string]struct{ says, want, err string }{
		"answered":        {"OK Pleased to meet you\nERR 83886355 Unknown option\nOK\nOK\nOK\nOK\nOK\nD hunter2\nOK\n", "hunter2", ""},
		"escaped":         {"OK\nOK\nOK\nOK\nOK\nOK\nOK\nD 50%25 %0A\xc3\xa4\nOK\n", "50% \nä", ""},
		"in parts":        {"OK\nOK\nOK\nOK\nOK\nOK\nOK\nD hun\nS NOTE\nD ter%32\nOK\n", "hunter2", ""},
		"a status before": {"OK\nOK\nOK\nOK\nOK\nOK\nOK\nS PASSWORD_FROM_CACHE\nD x\nOK\n", "x", ""},
		"empty":           {"OK\nOK\nOK\nOK\nOK\nOK\nOK\nOK\n", "", ""},
		"cancelled":       {"OK\nOK\nOK\nOK\nOK\nOK\nOK\nERR 83886179 Operation cancelled <Pinentry>\n", "", "cancelled"},
		"fails":           {"OK\nOK\nOK\nOK\nOK\nOK\nOK\nERR 83886261 No terminal\n", "", `it answers "83886261 No terminal"`},
		"ends":            {"OK\nOK\n", "", "it ended without an answer"},
		"is something":    {"hello", "", "it ended without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TERM", "vt100")
			t.Setenv("LANG", "C.UTF-8")
			var asked strings.Builder
			v, err := converse(&asked, strings.NewReader(c.says), Question{Title: "backend 100%", Prompt: "password"})
			defer v.Destroy()
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || string(v.Bytes()) != c.want {
				t.Errorf("got %q, %v, want %q", v.Bytes(), err, c.want)
			}
			if !strings.Contains(asked.String(), "\nSETDESC secretfs unlocks backend 100%25\nSETPROMPT password:\nGETPIN\n") {
				t.Errorf("asked:\n%s", asked.String())
			}
		})
	}
}

func TestConverseTooLong(t *testing.T) {
	says := strings.Repeat("OK\n", 7) + strings.Repeat("D "+strings.Repeat("x", 900)+"\n", 80) + "OK\n"
	var asked strings.Builder
	if _, err := converse(&asked, strings.NewReader(says), question); err == nil || err.Error() != "its answer is too long" {
		t.Errorf("got %v", err)
	}
}
