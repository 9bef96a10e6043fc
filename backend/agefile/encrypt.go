package agefile

import (
	"bytes"
	"errors"
	"fmt"

	"filippo.io/age"

	"github.com/secretfs/secretfs/backend/secret"
)

// Encrypt makes the age file, not armored, that holds plain for the recipients.
func Encrypt(plain []byte, recipients ...age.Recipient) ([]byte, error) {
	if len(recipients) == 0 {
		return nil, errors.New("encrypting to nobody")
	}
	// The library draws the file key and writes the header; a recipient that
	// looks on is how to learn that key and do the rest in locked memory.
	var fileKey []byte
	defer func() { secret.Wipe(fileKey) }()
	all := make([]age.Recipient, len(recipients))
	for i, r := range recipients {
		all[i] = witness{r, &fileKey}
	}
	var head bytes.Buffer
	if _, err := age.Encrypt(&head, all...); err != nil { // what is not written to needs no Close
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	file := head.Bytes()
	if len(file) < NonceLen || fileKey == nil {
		return nil, errors.New("encrypting: the header is not what was expected")
	}
	return appendPayload(file, fileKey, file[len(file)-NonceLen:], plain)
}

// A witness is a recipient that notes the file key.
type witness struct {
	age.Recipient
	fileKey *[]byte
}

// Wrap is that of the recipient.
func (w witness) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	w.note(fileKey)
	return w.Recipient.Wrap(fileKey)
}

// WrapWithLabels is that of the recipient, if it has one: the library refuses to
// mix recipients that are secure against quantum computers with others.
func (w witness) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	w.note(fileKey)
	if r, ok := w.Recipient.(age.RecipientWithLabels); ok {
		return r.WrapWithLabels(fileKey)
	}
	stanzas, err := w.Recipient.Wrap(fileKey)
	return stanzas, nil, err
}

func (w witness) note(fileKey []byte) {
	if *w.fileKey == nil {
		*w.fileKey = bytes.Clone(fileKey)
	}
}

// Split takes a file that is not armored apart. The parts are of the file's own
// memory.
func Split(file []byte) (header, nonce, payload []byte, ok bool) {
	header, err := age.ExtractHeader(bytes.NewReader(file))
	if err != nil || !bytes.HasPrefix(file, header) || len(file) < len(header)+NonceLen {
		return nil, nil, nil, false
	}
	rest := file[len(header):]
	return header, rest[:NonceLen], rest[NonceLen:], true
}
