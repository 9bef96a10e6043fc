package dir_test

import (
	"strings"
	"testing"

	"github.com/secretfs/secretfs/backend/dir"
	"github.com/secretfs/secretfs/policy/conf"
)

// decode gives what is wrong with settings, and their path.
func decode(t *testing.T, text string) (dir.Settings, string) {
	t.Helper()
	n, problems := conf.Parse("policy.yaml", []byte(text))
	s := dir.Decode(n, "/etc/secretfs", problems)
	return s.(dir.Settings), said(problems)
}

func said(problems *conf.Problems) string {
	if err := problems.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		"path: secrets":                      "/etc/secretfs/secrets",
		"path: /run/x/":                      "/run/x",
		"path: $CREDENTIALS_DIRECTORY":       "$CREDENTIALS_DIRECTORY",
		"path: $CREDENTIALS_DIRECTORY/sub/":  "$CREDENTIALS_DIRECTORY/sub",
		"path: $CREDENTIALS_DIRECTORY_OTHER": "/etc/secretfs/$CREDENTIALS_DIRECTORY_OTHER",
	} {
		if s, wrong := decode(t, text); s.Path != want || wrong != "" {
			t.Errorf("%s: %q %s", text, s.Path, wrong)
		}
	}
	for text, want := range map[string]string{
		"{}":            "path is missing",
		"path: [a]":     "want a text",
		"path: a\nb: c": "unknown key",
	} {
		if _, wrong := decode(t, text); !strings.Contains(wrong, want) {
			t.Errorf("%s: %q, want %q", text, wrong, want)
		}
	}
}

func TestReference(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                       "db/password",
		"file: token":              "token",
		"file: ./sub/token":        "sub/token",
		"file: /srv/secrets/token": "token",
	} {
		n, problems := conf.Parse("policy.yaml", []byte(text))
		got := dir.Reference(conf.Open(n, problems, "file", "key"), "db/password", dir.Settings{Path: "/srv/secrets"})
		if got != want || said(problems) != "" {
			t.Errorf("%s: %q %s", text, got, said(problems))
		}
	}
	for text, want := range map[string]string{
		"file: ../token":    `want a file below /srv/secrets, have "../token"`,
		"file: /etc/shadow": "want a file below /srv/secrets, have /etc/shadow",
		"file: sub/":        "want a file below",
		"file: ''":          "is empty",
		"key: a":            "name it with file",
	} {
		n, problems := conf.Parse("policy.yaml", []byte(text))
		dir.Reference(conf.Open(n, problems, "file", "key"), "db/password", dir.Settings{Path: "/srv/secrets"})
		if wrong := said(problems); !strings.Contains(wrong, want) {
			t.Errorf("%s: %q, want %q", text, wrong, want)
		}
	}
}
