package main

import (
	"context"

	"github.com/getsops/sops/v3/keyservice"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
	"github.com/secretfs/secretfs/backend/sops/keys"
)

// solve asks sops' own key service, in this process or at the socket that q names.
func solve(ctx context.Context, q *keys.Request) (*secret.Value, error) {
	if q.KeyService != "" {
		return askService(ctx, q)
	}
	key := keyOf(q.Key)
	if key == nil {
		return nil, helper.Refuse(backend.ErrUnsupported, "no cloud or Vault master key has the type %q", q.Key.Type)
	}
	if err := q.Identify(); err != nil {
		return nil, helper.Refuse(backend.ErrUnsupported, "%s: %v", q.Key, err)
	}
	answer, err := keyservice.Server{}.Decrypt(ctx, &keyservice.DecryptRequest{Key: key, Ciphertext: []byte(q.Key.Fields["enc"])})
	if err != nil {
		return nil, refusal(q.Key, err)
	}
	return secret.From(answer.Plaintext)
}

// keyOf translates the fields of the file's metadata (sops, stores/stores.go)
// into those of the key service's protocol; nil for a type that is unknown, or
// that secretfs opens without this program.
func keyOf(k keys.MasterKey) *keyservice.Key {
	f := k.Fields
	switch k.Type {
	case keys.AWSKMS:
		return &keyservice.Key{KeyType: &keyservice.Key_KmsKey{KmsKey: &keyservice.KmsKey{
			Arn: f["arn"], Role: f["role"], AwsProfile: f["aws_profile"], Context: k.Context,
		}}}
	case keys.GCPKMS:
		return &keyservice.Key{KeyType: &keyservice.Key_GcpKmsKey{GcpKmsKey: &keyservice.GcpKmsKey{
			ResourceId: f["resource_id"],
		}}}
	case keys.AzureKV:
		return &keyservice.Key{KeyType: &keyservice.Key_AzureKeyvaultKey{AzureKeyvaultKey: &keyservice.AzureKeyVaultKey{
			VaultUrl: f["vault_url"], Name: f["name"], Version: f["version"],
		}}}
	case keys.VaultTransit:
		return &keyservice.Key{KeyType: &keyservice.Key_VaultKey{VaultKey: &keyservice.VaultKey{
			VaultAddress: f["vault_address"], EnginePath: f["engine_path"], KeyName: f["key_name"],
		}}}
	case keys.HuaweiKMS:
		return &keyservice.Key{KeyType: &keyservice.Key_HckmsKey{HckmsKey: &keyservice.HckmsKey{KeyId: f["key_id"]}}}
	}
	return nil
}
