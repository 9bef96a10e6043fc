package age

import (
	"bytes"
	"encoding/gob"
	"maps"
	"slices"
	"time"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/agefile"
	"github.com/secretfs/secretfs/backend/secret"
)

// saveAfter is how long a state is waited out before it is handed over: a whole
// directory may be read at once.
const saveAfter = 200 * time.Millisecond

// fileKeyLen is the length of a file key in bytes (C2SP age.md).
const fileKeyLen = 16

// A savedState is what the next process is to know. The file keys are beside it,
// in memory that is never swapped, one after the other in the order of Files.
type savedState struct {
	Files      []savedFile
	OpenedWith []stamp // what the key files were when the file keys were recovered
}

// A savedFile is the last good version of one file: to serve it should the file
// be broken, and to see that one which was encrypted anew is still the same
// secret. It is ciphertext.
type savedFile struct {
	Key, Version           string
	Digest                 string
	Header, Nonce, Payload []byte
	Size                   int64
	Since                  time.Time // when it ceased to be the newest, or zero
	HasKey                 bool      // its file key is saved too
}

// saving hands the state over after changes, until the backend is closed.
func (b *Backend) saving() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.dirty:
		}
		select {
		case <-b.ctx.Done():
			return
		case <-time.After(saveAfter):
		}
		if l, err := b.state(); err == nil {
			b.cfg.Save(l)
		}
	}
}

// touch has the state handed over soon.
func (b *Backend) touch() {
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

func (b *Backend) state() (l backend.Legacy, err error) {
	state, keys, err := b.collect()
	if err != nil {
		return l, err
	}
	var rest bytes.Buffer
	if err := gob.NewEncoder(&rest).Encode(state); err != nil {
		keys.Destroy()
		return l, err
	}
	return backend.Legacy{Keys: keys, Rest: rest.Bytes()}, nil
}

// collect copies the file keys; the rest does not change once made.
func (b *Backend) collect() (state savedState, all *secret.Value, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state.OpenedWith = b.openedWith
	var keys []*secret.Value
	for _, key := range slices.Sorted(maps.Keys(b.entries)) {
		e := b.entries[key]
		if e.good == nil || e.good.payload == nil {
			continue
		}
		f := savedFile{
			Key: key, Version: string(e.goodAs), Digest: string(e.good.digest), Size: e.good.size, Since: e.since,
			Header: e.good.header, Nonce: e.good.nonce, Payload: e.good.payload,
		}
		if v := e.keys[e.good.digest]; v.Len() == fileKeyLen {
			f.HasKey = true
			keys = append(keys, v)
		}
		state.Files = append(state.Files, f)
	}
	if all, err = secret.New(len(keys) * fileKeyLen); err != nil {
		return state, nil, err
	}
	for i, v := range keys {
		copy(all.Bytes()[i*fileKeyLen:], v.Bytes())
	}
	return state, all, nil
}

// restore takes over what another process has saved. Nothing of it is served
// before the files have been looked at. That keys and files belong together shows
// when they open.
func (b *Backend) restore(l backend.Legacy) {
	var state savedState
	if len(l.Rest) == 0 || gob.NewDecoder(bytes.NewReader(l.Rest)).Decode(&state) != nil {
		return
	}
	keys := l.Keys.Bytes()
	b.openedWith = state.OpenedWith
	for _, f := range state.Files {
		var key []byte
		if f.HasKey && len(keys) >= fileKeyLen {
			key, keys = keys[:fileKeyLen], keys[fileKeyLen:]
		}
		b.restoreFile(&f, key)
	}
}

func (b *Backend) restoreFile(f *savedFile, key []byte) {
	size, ok := agefile.PlainSize(int64(len(f.Payload)))
	e, err := b.entry(f.Key)
	if err != nil || !ok || size != f.Size || len(f.Nonce) != agefile.NonceLen {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e.good = &sealed{header: f.Header, nonce: f.Nonce, payload: f.Payload, size: f.Size, digest: backend.Version(f.Digest)}
	e.goodAs, e.since = backend.Version(f.Version), f.Since
	b.kept += int64(len(f.Payload))
	if key == nil {
		return
	}
	if v, err := secret.New(fileKeyLen); err == nil {
		copy(v.Bytes(), key)
		e.keep(e.good.digest, v)
	}
}
