package age

import (
	"bytes"
	"encoding/gob"
	"maps"
	"slices"
	"time"

	"github.com/secretfs/secretfs/backend"
)

// saveAfter is how long a state is waited out before it is handed over: a whole
// directory may be read at once.
const saveAfter = 200 * time.Millisecond

// A savedFile is the last good version of one file, as the next process is to
// know it: to serve it should the file be broken, and to see that one which was
// encrypted anew is still the same secret. It is ciphertext.
type savedFile struct {
	Key, Version           string
	Digest                 string
	Header, Nonce, Payload []byte
	Size                   int64
	Since                  time.Time // when it ceased to be the newest, or zero
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
		if rest, err := encodeState(b.state()); err == nil {
			b.cfg.Save(backend.Legacy{Rest: rest})
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

func (b *Backend) state() (files []savedFile) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(b.entries)) {
		e := b.entries[key]
		if e.good == nil || e.good.payload == nil {
			continue
		}
		files = append(files, savedFile{
			Key: key, Version: string(e.goodAs), Digest: string(e.good.digest), Size: e.good.size, Since: e.since,
			Header: e.good.header, Nonce: e.good.nonce, Payload: e.good.payload,
		})
	}
	return files
}

func encodeState(files []savedFile) ([]byte, error) {
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(files)
	return out.Bytes(), err
}

// restore takes over what another process has saved. Nothing of it is served
// before the files have been looked at.
func (b *Backend) restore(rest []byte) {
	var files []savedFile
	if len(rest) == 0 || gob.NewDecoder(bytes.NewReader(rest)).Decode(&files) != nil {
		return
	}
	for _, f := range files {
		size, ok := plainSize(int64(len(f.Payload)))
		e, err := b.entry(f.Key)
		if err != nil || !ok || size != f.Size || len(f.Nonce) != nonceLen {
			continue
		}
		e.good = &sealed{header: f.Header, nonce: f.Nonce, payload: f.Payload, size: f.Size, digest: backend.Version(f.Digest)}
		e.goodAs, e.since = backend.Version(f.Version), f.Since
		b.kept += int64(len(f.Payload))
	}
}
