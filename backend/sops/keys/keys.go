// Package keys recovers the data key of a sops file from whichever identity is
// at hand: age and ssh keys, OpenPGP keys with and without gpg, age plugins, and
// the cloud and Vault-transit keys that sops knows. It knows nothing of what the
// data key then opens.
package keys

// A Type is the kind of a master key, spelt as the section of the `sops:`
// metadata that holds it (getsops/sops, stores/stores.go).
type Type string

// The kinds of master key that sops 3.13 writes.
const (
	Age          Type = "age"
	PGP          Type = "pgp"
	AWSKMS       Type = "kms"
	GCPKMS       Type = "gcp_kms"
	AzureKV      Type = "azure_kv"
	VaultTransit Type = "hc_vault"
	HuaweiKMS    Type = "hckms"
)

// A MasterKey is one entry of a key group: the data key, encrypted to one
// recipient. Nothing in it is secret.
type MasterKey struct {
	Type Type `json:"type"`
	// Fields are the entry's own keys as they stand in the file: "recipient"
	// and "enc" for age, "fp" and "enc" for pgp, "arn", "role", "enc" for
	// kms and so on.
	Fields map[string]string `json:"fields"`
	// Context is the AWS encryption context, if any.
	Context map[string]string `json:"context,omitempty"`
}

// A Group is a key group. With one group any of its keys gives the data key;
// with several each gives one Shamir share.
type Group []MasterKey

// Metadata is the part of a file's `sops:` section that says how to recover
// its data key.
type Metadata struct {
	Groups    []Group
	Threshold int // shares needed; 0 means all groups
}
