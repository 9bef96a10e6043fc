package sops

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/secret"
)

// ivSize is the length of the nonces that sops makes; it reads any.
const ivSize = 32

// macOnlyEncryptedPrefix begins the hash of files with mac_only_encrypted: the
// SHA-256 of "sops" (getsops/sops, sops.go, MACOnlyEncryptedInitialization).
var macOnlyEncryptedPrefix, _ = hex.DecodeString("8a3fd2ad54ce66527b1034f3d147be0b0b975b3bf44f72c6fdadec8176f27d69")

// maxNumber is room for any number written out: the smallest floating-point
// number takes 326 digits.
const maxNumber = 512

var (
	errMAC    = fmt.Errorf("its MAC does not fit its values: it was changed without sops, or damaged: %w", backend.ErrCorrupt)
	errSealed = fmt.Errorf("a value does not decrypt: it was changed, moved or damaged: %w", backend.ErrCorrupt)
)

// A box decrypts the values of one file. It is safe for concurrent use.
type box struct {
	block cipher.Block
	gcm   cipher.AEAD // for nonces of ivSize
}

func newBox(dataKey *secret.Value) (*box, error) {
	if dataKey.Len() != 32 {
		return nil, fmt.Errorf("the data key has %d bytes and not 32: %w", dataKey.Len(), backend.ErrCorrupt)
	}
	block, err := aes.NewCipher(dataKey.Bytes())
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, ivSize)
	return &box{block, gcm}, err
}

// open decrypts s at the beginning of room, which has s.room() bytes, and returns
// the part that is plaintext. The ciphertext is decoded there too, and nowhere
// else: it may be large.
func (b *box) open(room []byte, s sealed, path []byte) (plain []byte, err error) {
	var buf [2 * ivSize]byte
	iv, err := base64.StdEncoding.AppendDecode(buf[:0], s.iv)
	if err != nil || len(iv) == 0 {
		return nil, errSealed
	}
	ciphertext, err := s.decode(room)
	if err != nil || len(ciphertext) < tagSize {
		return nil, errSealed
	}
	gcm := b.gcm
	if len(iv) != ivSize {
		if gcm, err = cipher.NewGCMWithNonceSize(b.block, len(iv)); err != nil {
			return nil, errSealed
		}
	}
	if plain, err = gcm.Open(ciphertext[:0], iv, ciphertext, path); err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// verify decrypts every value once, and compares the MAC over them. No plaintext
// is left behind.
func (d *Document) verify(b *box) error {
	longest, err := d.longest()
	if err != nil {
		return err
	}
	room, err := secret.New(longest + maxNumber)
	if err != nil {
		return err
	}
	defer room.Destroy()
	v := verifier{doc: d, box: b, room: room.Bytes(), hash: sha512.New()}
	defer v.wipe()
	if d.meta.onlyEnc {
		v.hash.Write(macOnlyEncryptedPrefix)
	}
	for root := uint32(0); root < uint32(len(d.index.entries)); root = d.index.next(root) {
		if err := v.container(root); err != nil {
			return err
		}
	}
	return v.compare()
}

// longest is the room that the longest value needs, the MAC included.
func (d *Document) longest() (int, error) {
	n := 0
	for i := range d.index.entries {
		if e := &d.index.entries[i]; e.sealed {
			s, _ := parseSealed(d.index.text(uint32(i)))
			n = max(n, s.room())
		}
	}
	s, ok := parseSealed([]byte(d.meta.mac))
	if !ok || s.kind != kindString {
		return 0, errMAC
	}
	return max(n, s.room()), nil
}

type verifier struct {
	doc  *Document
	box  *box
	room []byte // locked
	path []byte // names so far, each with a colon: the additional data
	hash hash.Hash
}

// wipe overwrites the block that the hash still buffers.
func (v *verifier) wipe() {
	var zero [sha512.BlockSize]byte
	v.hash.Reset()
	v.hash.Write(zero[1:])
	v.hash.Write(zero[:1])
}

func (v *verifier) container(i uint32) error {
	x := v.doc.index
	n := len(v.path)
	for c := i + 1; c < x.next(i); c = x.next(c) {
		e := &x.entries[c]
		if e.nameLen != listItem {
			v.path = append(append(v.path[:n], x.bytes(e.name, e.nameLen)...), ':')
		}
		var err error
		if x.isContainer(c) {
			err = v.container(c)
		} else {
			err = v.leaf(c)
		}
		if err != nil {
			return err
		}
		v.path = v.path[:n]
	}
	return nil
}

// additional is the additional data of a value: the names of all maps on the way
// to it and its own, with a colon after each; for a comment outside of all, a
// colon alone.
func additional(path []byte) []byte {
	if len(path) == 0 {
		return []byte{':'}
	}
	return path
}

func (v *verifier) leaf(i uint32) error {
	e := &v.doc.index.entries[i]
	text := v.doc.index.text(i)
	if !e.sealed {
		if !v.doc.meta.onlyEnc {
			v.hash.Write(text)
		}
		return nil
	}
	s, _ := parseSealed(text)
	plain, err := v.box.open(v.room, s, additional(v.path))
	switch {
	case e.kind == kindComment && s.kind != kindComment:
		// A comment that looks like a value. If it were one, sops would
		// count it into the MAC, which no MAC does.
		if err == nil {
			return errMAC
		}
		return nil
	case err != nil:
		return err
	case e.kind == kindComment:
		return nil
	}
	canonical, err := canonicalText(v.room[len(plain):], plain, e.kind)
	if err != nil {
		return err
	}
	if len(canonical) != len(plain) {
		v.doc.setSize(i, len(canonical))
	}
	v.hash.Write(canonical)
	return nil
}

func (v *verifier) compare() error {
	want := []byte(strings.ToUpper(hex.EncodeToString(v.hash.Sum(nil))))
	s, _ := parseSealed([]byte(v.doc.meta.mac))
	got, err := v.box.open(v.room, s, []byte(v.doc.meta.lastModified))
	if err != nil || subtle.ConstantTimeCompare(want, got) != 1 {
		return errMAC
	}
	return nil
}

// canonicalText is the text that sops hashes for a value of kind k that decrypts
// to plain. Room for it, if it is not plain itself, is at the end of buf.
func canonicalText(buf, plain []byte, k kind) ([]byte, error) {
	text := unsafe.String(unsafe.SliceData(plain), len(plain)) // no copy of a secret
	var err error
	switch k {
	case kindInt:
		var n int
		if n, err = strconv.Atoi(text); err == nil {
			return strconv.AppendInt(buf[:0], int64(n), 10), nil
		}
	case kindFloat:
		var f float64
		if f, err = strconv.ParseFloat(text, 64); err == nil {
			return formatFloat(buf[:0], f), nil
		}
	case kindBool:
		var on bool
		if on, err = strconv.ParseBool(text); err == nil {
			return append(buf[:0], boolText(on)...), nil
		}
	case kindTime:
		var t time.Time
		if err = t.UnmarshalText(plain); err == nil {
			return t.AppendText(buf[:0])
		}
	default:
		return plain, nil
	}
	return nil, errSealed
}
