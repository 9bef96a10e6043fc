package bwserver

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/secretfs/secretfs/backend/bitwarden/enc"
	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/secret"
)

// An Account is what a server has of one. Of the password it has a hash.
type Account struct {
	ID, Email     string
	Hash          string
	KDF           kdf.Params
	WrappedKey    string
	PrivateKey    string // encrypted
	ClientSecret  string
	TOTP          string // code that is wanted as second factor, "" for none
	NewDevice     string // code that a new device needs, "" for none
	NoPassword    bool   // it logs in by SSO
	Plain         bool   // the server is too old for userDecryptionOptions
	KeyID         string // of the key, which clients have stored
	Lifetime      time.Duration
	devices       map[string]bool
	public        *rsa.PublicKey
	revision      int64
	ciphers       map[string]object
	order         []string // of ciphers
	folders       []object
	collections   []object
	organizations []object
}

// ClientID is the first half of its API key.
func (a *Account) ClientID() string { return "user." + a.ID }

// Register makes an account as a client does.
func (s *Server) Register(t testing.TB, email, password string, p kdf.Params) *Account {
	user := make([]byte, 64)
	rand.Read(user)
	return s.RegisterWith(t, email, password, p, user)
}

// RegisterWith makes an account with the key that is given.
func (s *Server) RegisterWith(t testing.TB, email, password string, p kdf.Params, user []byte) *Account {
	a := &Account{
		ID: newID(), Email: email, KDF: p, ClientSecret: rand.Text(), Lifetime: time.Hour, KeyID: newID(), devices: map[string]bool{},
		ciphers: map[string]object{},
	}
	a.setPassword(t, password, user)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	a.public = &private.PublicKey
	if len(user) == 64 {
		a.PrivateKey = Seal(t, user, der)
	}
	a.touch()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = append(s.accounts, a)
	return a
}

func (a *Account) setPassword(t testing.TB, password string, user []byte) {
	master := masterKey(t, a.KDF, strings.ToLower(a.Email), password)
	hash, err := pbkdf2.Key(sha256.New, string(master), []byte(password), 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	var stretched []byte
	for _, info := range []string{"enc", "mac"} {
		half, err := hkdf.Expand(sha256.New, master, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		stretched = append(stretched, half...)
	}
	a.Hash, a.WrappedKey = base64.StdEncoding.EncodeToString(hash), Seal(t, stretched, user)
}

// ChangePassword ends all sessions, as changing it does.
func (s *Server) ChangePassword(t testing.TB, a *Account, password string, user []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.setPassword(t, password, user)
	s.endSessions(a)
}

// endSessions is called with mu held.
func (s *Server) endSessions(a *Account) {
	for _, all := range []map[string]*grant{s.tokens, s.refresh} {
		for token, g := range all {
			if g.account == a {
				delete(all, token)
			}
		}
	}
}

// EndSessions has all tokens of a refused.
func (s *Server) EndSessions(a *Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endSessions(a)
}

func masterKey(t testing.TB, p kdf.Params, salt, password string) []byte {
	if p.Type == kdf.Argon2id {
		sum := sha256.Sum256([]byte(salt))
		return argon2.IDKey([]byte(password), sum[:], uint32(p.Iterations), uint32(p.Memory)<<10, uint8(p.Parallelism), 32)
	}
	key, err := pbkdf2.Key(sha256.New, password, []byte(salt), p.Iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Seal encrypts as a client does.
func Seal(t testing.TB, key, plain []byte) string {
	v, err := secret.From(append([]byte(nil), key...))
	if err != nil {
		t.Fatal(err)
	}
	k, err := enc.NewKey(v)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Destroy()
	text, err := k.Seal(plain)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Found makes an organization with the key that is given, and a collection in it,
// for a.
func (s *Server) Found(t testing.TB, a *Account, name, collection string, key []byte) (organizationID, collectionID string) {
	wrapped, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, a.public, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	organizationID, collectionID = newID(), newID()
	a.organizations = append(a.organizations, object{
		"object": "profileOrganization", "id": organizationID, "name": name, "key": "4." + base64.StdEncoding.EncodeToString(wrapped),
		"status": 2, "type": 0, "enabled": true, "userId": a.ID, "usersGetPremium": true, "useTotp": true, "selfHost": true,
		"maxStorageGb": 1, "seats": 10, "permissions": object{}, "identifier": nil, "providerId": nil, "useGroups": false,
		"productTierType": 3, "allowAdminAccessToAllCollectionItems": true, "limitItemDeletion": false,
	})
	a.collections = append(a.collections, object{
		"object": "collectionDetails", "id": collectionID, "organizationId": organizationID, "name": Seal(t, key, []byte(collection)),
		"readOnly": false, "hidePasswords": false, "manage": true, "externalId": nil, "type": 0,
	})
	a.touch()
	return organizationID, collectionID
}

// touch moves the revision on. It is called with mu held.
func (a *Account) touch() { a.revision = max(time.Now().UnixMilli(), a.revision+1) }

func (a *Account) profile() object {
	return object{
		"object": "profile", "id": a.ID, "name": "test", "email": a.Email, "emailVerified": true, "premium": true,
		"premiumFromOrganization": false, "key": a.WrappedKey, "privateKey": a.PrivateKey, "securityStamp": a.ID,
		"culture": "en-US", "twoFactorEnabled": a.TOTP != "", "organizations": a.organizations, "providers": []any{},
		"providerOrganizations": []any{}, "forcePasswordReset": false, "usesKeyConnector": false, "creationDate": now(),
		"accountKeys": a.keys(), "_status": 0,
	}
}

// keys are how newer clients want an account's key pair.
func (a *Account) keys() object {
	public, err := x509.MarshalPKIXPublicKey(a.public)
	if err != nil {
		return nil
	}
	return object{
		"object": "privateKeys", "signatureKeyPair": nil, "securityState": nil,
		"publicKeyEncryptionKeyPair": object{
			"object": "publicKeyEncryptionKeyPair", "wrappedPrivateKey": a.PrivateKey,
			"publicKey": base64.StdEncoding.EncodeToString(public), "signedPublicKey": nil,
		},
	}
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }

// jwt makes a token whose claims clients read. Its signature is of this server
// alone.
func jwt(claims string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	body := part(`{"alg":"HS256","typ":"JWT"}`) + "." + part(claims)
	h := hmac.New(sha256.New, []byte("test"))
	fmt.Fprint(h, body, rand.Text())
	return body + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
