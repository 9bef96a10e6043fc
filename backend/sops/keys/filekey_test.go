package keys_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// TestFileKey opens the age file that sops keeps a data key in, as a file like
// any other.
func TestFileKey(t *testing.T) {
	t.Parallel()
	dir := pluginDir(t)
	doc := pluginDoc(t, dir)
	file := doc.Meta.Groups[0][0].Fields["enc"]
	header, err := age.ExtractHeader(armor.NewReader(strings.NewReader(file)))
	if err != nil {
		t.Fatal(err)
	}
	native, _ := ageKey(t)
	ring := func(whats ...string) *keys.Ring {
		text := native
		for _, what := range whats {
			text += plugin.EncodeIdentity(pluginName, []byte(what)) + "\n"
		}
		return newRing(t, keys.Config{KeyFiles: []string{write(t, text)}, PluginsPath: dir}, helpers())
	}

	key, err := ring("other", "works").FileKey(testContext(t), header)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Destroy()
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(file)), age.NewInjectedFileKeyIdentity(key.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || len(plain) != 32 {
		t.Errorf("the file key opens %d bytes, %v, expected a data key", len(plain), err)
	}

	for want, tt := range map[string]struct {
		ring   *keys.Ring
		header string
		kind   error
	}{
		"no identity matches: it is encrypted to recipients of type fstest":                   {ring("other"), string(header), backend.ErrLocked},
		"the file key: fstest plugin: no device is plugged in":                                {ring("fails"), string(header), backend.ErrRejected},
		`the file key: age-plugin-fstest asks "Enter the PIN", and nobody is there to answer`: {ring("asks"), string(header), backend.ErrLocked},
		"the header is damaged or forged":                                                     {ring("works"), "age-encryption.org/v1\n", backend.ErrCorrupt},
	} {
		v, err := tt.ring.FileKey(testContext(t), []byte(tt.header))
		if v.Destroy(); !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, expected %s", err, want)
		}
	}
}
