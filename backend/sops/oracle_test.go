package sops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	oracle "github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/common"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/logging"
	"github.com/sirupsen/logrus"
)

// The tests of this package take sops/v3 itself as their oracle. To be fast, all
// files that are made in process share one data key and one age recipient.
type keyring struct {
	identity *age.X25519Identity
	dataKey  []byte
	group    oracle.KeyGroup
}

var ring = sync.OnceValue(func() *keyring {
	for _, log := range logging.Loggers {
		log.SetOutput(io.Discard)
		log.SetLevel(logrus.PanicLevel)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err)
	}
	key, err := sopsage.MasterKeyFromRecipient(id.Recipient().String())
	if err != nil {
		panic(err)
	}
	k := &keyring{identity: id, dataKey: bytes.Repeat([]byte("0123456789abcdef"), 2), group: oracle.KeyGroup{key}}
	if err := key.Encrypt(k.dataKey); err != nil {
		panic(err)
	}
	return k
})

// storeFor is the oracle's reader and writer of a format.
func storeFor(format Format) oracle.Store {
	return common.StoreForFormat(formats.FormatFromString(string(format)), config.NewStoresConfig())
}

// An option is a setting of the sops section.
type option func(*oracle.Metadata)

// seal encrypts plain as `sops encrypt` does.
func seal(format Format, plain []byte, opts ...option) (file []byte, err error) {
	defer panicked(&err)
	store := storeFor(format)
	branches, err := store.LoadPlainFile(plain)
	if err != nil {
		return nil, err
	}
	tree := oracle.Tree{Branches: branches, Metadata: newMetadata()}
	for _, opt := range opts {
		opt(&tree.Metadata)
	}
	return sealTree(store, &tree)
}

func newMetadata() oracle.Metadata {
	return oracle.Metadata{
		KeyGroups: []oracle.KeyGroup{ring().group}, Version: "3.13.3",
		LastModified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func sealTree(store oracle.Store, tree *oracle.Tree) ([]byte, error) {
	m := &tree.Metadata
	if m.UnencryptedSuffix+m.EncryptedSuffix+m.UnencryptedRegex+m.EncryptedRegex+
		m.UnencryptedCommentRegex+m.EncryptedCommentRegex == "" {
		m.UnencryptedSuffix = oracle.DefaultUnencryptedSuffix
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(ring().dataKey, cipher)
	if err != nil {
		return nil, err
	}
	m.MessageAuthenticationCode, err = cipher.Encrypt(mac, ring().dataKey, m.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	return store.EmitEncryptedFile(*tree)
}

// unseal decrypts file as `sops decrypt` does, version and MAC checked, except
// that the data key is known.
func unseal(format Format, file []byte) (oracle.TreeBranches, error) {
	tree, err := storeFor(format).LoadEncryptedFile(file)
	if err != nil {
		return nil, err
	}
	if _, err := common.DetectKMSEncryptionContextBug(&tree); err != nil {
		return nil, err
	}
	cipher := aes.NewCipher()
	mac, err := tree.Decrypt(ring().dataKey, cipher)
	if err != nil {
		return nil, err
	}
	m := &tree.Metadata
	want, err := cipher.Decrypt(m.MessageAuthenticationCode, ring().dataKey, m.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	if want != mac {
		return nil, errors.New("MAC mismatch")
	}
	return tree.Branches, nil
}

// panicked turns a panic of the oracle, which some mutated files cause, into an
// error.
func panicked(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v", r)
	}
}

func mustSeal(t testing.TB, format Format, plain string, opts ...option) []byte {
	t.Helper()
	file, err := seal(format, []byte(plain), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// mustSealFast is mustSeal without the oracle's loader, which is quadratic: a
// flat file of strings needs none.
func mustSealFast(t testing.TB, format Format, plain string) []byte {
	t.Helper()
	load := format
	if format == YAML {
		load, plain = Dotenv, strings.ReplaceAll(plain, ": ", "=")
	}
	branches, err := storeFor(load).LoadPlainFile([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	file, err := sealTree(storeFor(format), &oracle.Tree{Branches: branches, Metadata: newMetadata()})
	if err != nil {
		t.Fatal(err)
	}
	return file
}
