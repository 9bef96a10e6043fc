package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// A versioned is Data of KV version 2.
type versioned struct {
	Data     json.RawMessage `json:"data"`
	Metadata struct {
		CreatedTime  string `json:"created_time"`
		DeletionTime string `json:"deletion_time"`
		Destroyed    bool   `json:"destroyed"`
		Version      int64  `json:"version"`
	} `json:"metadata"`
}

// getKV reads a secret of the engine kv.
func (b *Backend) getKV(ctx context.Context, r reference, m *mount) (*backend.Secret, error) {
	s, err := b.readKV(ctx, r, m)
	if statusOf(err) == http.StatusNotFound {
		if now, changed := b.askAgain(ctx, m, r.Path); changed {
			return b.getFrom(ctx, r, now)
		}
	}
	return s, err
}

func (b *Backend) readKV(ctx context.Context, r reference, m *mount) (*backend.Secret, error) {
	req := request{method: http.MethodGet, path: m.data(r.Path)}
	switch {
	case r.Version != 0 && !m.versioned():
		return nil, backend.Alone(fmt.Errorf("%s is of KV version 1, which keeps no versions: leave version out: %w", m.Path, backend.ErrUnsupported))
	case r.Version != 0:
		req.query = url.Values{"version": {strconv.Itoa(r.Version)}}
	}
	b.follow(req.path)
	a, _, err := b.call(ctx, req)
	if a != nil {
		defer a.wipe()
	}
	if m.versioned() && (err == nil || a != nil) {
		return versionOf(a, r)
	}
	if err != nil {
		return nil, err
	}
	return b.plain(a, r)
}

// versionOf reads an answer of KV version 2. The number of a version says which it is
// only until the secret is deleted for good and written anew, hence its time too.
func versionOf(a *answer, r reference) (*backend.Secret, error) {
	var v versioned
	if json.Unmarshal(a.Data, &v) != nil || v.Metadata.Version == 0 {
		return nil, backend.Alone(fmt.Errorf("the answer is not what KV version 2 gives: %w", backend.ErrCorrupt))
	}
	inner := &answer{Data: v.Data}
	defer inner.wipe()
	if gone := v.gone(); gone != "" {
		return nil, backend.Alone(fmt.Errorf("version %d was %s: %w", v.Metadata.Version, gone, backend.ErrNotFound))
	}
	fields, err := inner.fields()
	if err != nil {
		return nil, backend.Alone(err)
	}
	defer fields.wipe()
	value, err := pick(fields, r)
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339Nano, v.Metadata.CreatedTime)
	if err != nil {
		at = time.Unix(0, 0)
	}
	return &backend.Secret{Value: value, Version: backend.Version(fmt.Sprintf("v%d@%d", v.Metadata.Version, at.UnixNano()))}, nil
}

// gone says what became of a version that has no data.
func (v *versioned) gone() string {
	switch {
	case v.Metadata.Destroyed:
		return "destroyed"
	case v.Metadata.DeletionTime == "":
		return ""
	}
	at, err := time.Parse(time.RFC3339Nano, v.Metadata.DeletionTime)
	if err == nil && at.After(time.Now()) && len(v.Data) > 0 && string(v.Data) != "null" {
		return "" // it is going to be (delete_version_after)
	}
	return "deleted at " + v.Metadata.DeletionTime
}

// plain is a secret of which the server tells no version.
func (b *Backend) plain(a *answer, r reference) (*backend.Secret, error) {
	fields, err := a.fields()
	if err != nil {
		return nil, backend.Alone(err)
	}
	defer fields.wipe()
	value, err := pick(fields, r)
	if err != nil {
		return nil, err
	}
	return &backend.Secret{Value: value, Version: b.digest(r.String(), value.Bytes())}, nil
}
