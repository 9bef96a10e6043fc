package credential

import (
	"slices"
	"testing"
)

func TestAll(t *testing.T) {
	type method struct{ RoleID, SecretID Source }
	pw := Source{Kind: Ask, Field: "password"}
	secret := Source{Kind: Secret, Field: "token", Name: "a/token"}
	config := struct {
		Name     string
		Password Source
		None     Source
		Auth     *method
		Others   []Source
		ByName   map[string]any
		hidden   Source
	}{"x", pw, Source{Field: "totp"}, &method{SecretID: secret}, []Source{secret}, map[string]any{"x": method{RoleID: pw}}, pw}
	names := func(all []Source) (n []string) {
		for _, s := range all {
			n = append(n, s.Field)
		}
		return n
	}
	for _, c := range []any{config, &config} {
		if got, want := names(All(c)), []string{"password", "token", "token", "password"}; !slices.Equal(got, want) {
			t.Errorf("%T: got %q, want %q", c, got, want)
		}
	}
	if got, want := Secrets(config), []string{"a/token", "a/token"}; !slices.Equal(got, want) {
		t.Errorf("secrets: got %q, want %q", got, want)
	}
	if got := All(nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	_ = config.hidden
}
