package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy/conf"
)

// DirectoryKeys are the keys that a directory in a vault backend may have.
var DirectoryKeys = []string{"field", "format"}

// Directory is the key of an entry of `directories:`: what lies below `prefix`, of
// each secret the field, or all of it.
func Directory(f conf.Fields, _ any) string {
	r := reference{Path: strings.Trim(f.Text("prefix", f.Text("key", "")), "/"), Field: f.Text("field", "")}
	if r.Path == "" {
		f.Addf("prefix", "want the path of an engine, and of a folder in it, such as kv/apps")
	} else if wrong := checkPath(r.Path + "/x"); wrong != "" {
		f.Addf("prefix", "%s", wrong)
	}
	if r.Format = f.OneOf("format", "", formatJSON, formatDotenv); r.Format != "" && r.Field != "" {
		f.Addf("format", "is of whole secrets, and field takes one value out of each; give one of the two")
	}
	return backend.DirKey(r.String())
}

// Entries lists a folder of the engine kv, whose keys are escaped as those of
// Reference.
func (b *Backend) Entries(ctx context.Context, place string) ([]backend.Item, error) {
	r, err := unspell(place)
	var items []backend.Item
	if err == nil {
		items, err = b.list(b.now(ctx), r)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ended(ctx)
		}
		return nil, fmt.Errorf("listing %s at %s: %w", r.Path, b.cfg.Address, err)
	}
	return items, nil
}

func (b *Backend) list(ctx context.Context, r reference) ([]backend.Item, error) {
	m, err := b.mountOf(ctx, r.Path)
	if err != nil {
		return nil, err
	}
	if !m.kv() {
		return nil, backend.Alone(fmt.Errorf("%s is of type %s, of which nothing can be listed: name its paths in secrets: %w", m.Path, m.Type, backend.ErrUnsupported))
	}
	a, _, err := b.call(ctx, request{method: http.MethodGet, path: m.folder(r.Path), query: url.Values{"list": {"true"}}})
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	var listed struct{ Keys []string }
	if json.Unmarshal(a.Data, &listed) != nil {
		return nil, fmt.Errorf("the answer is no list: %w", backend.ErrUnavailable)
	}
	items := make([]backend.Item, 0, len(listed.Keys))
	for _, name := range listed.Keys {
		name, dir := strings.CutSuffix(name, "/")
		child := reference{Path: r.Path + "/" + name, Field: r.Field, Format: r.Format}
		items = append(items, backend.Item{Name: name, Key: child.String(), Dir: dir})
	}
	return items, nil
}

// folder is the path of the API that lists path.
func (m *mount) folder(path string) string {
	rest := strings.TrimPrefix(path+"/", m.Path)
	if m.versioned() {
		return m.Path + "metadata/" + strings.TrimPrefix(strings.TrimPrefix(rest, "data/"), "metadata/")
	}
	return m.Path + rest
}
