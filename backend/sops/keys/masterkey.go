package keys

import (
	"strings"

	"github.com/secretfs/secretfs/backend/helper"
)

// maxName keeps ssh-rsa and post-quantum recipients, of up to 2 kB, readable.
const maxName = 80

// String names the master key as a person knows it: the age recipient, the
// OpenPGP fingerprint, the ARN, the URL. It never holds the encrypted data key.
func (k MasterKey) String() string { return helper.Printable(k.name(), maxName) }

func (k MasterKey) name() string {
	f := k.Fields
	switch k.Type {
	case Age:
		return f["recipient"]
	case PGP:
		return "pgp " + f["fp"]
	case AWSKMS:
		return f["arn"]
	case GCPKMS:
		return f["resource_id"]
	case AzureKV:
		return strings.Join([]string{f["vault_url"], "keys", f["name"], f["version"]}, "/")
	case VaultTransit:
		return strings.Join([]string{f["vault_address"], "v1", f["engine_path"], "keys", f["key_name"]}, "/")
	case HuaweiKMS:
		return f["key_id"]
	}
	return string(k.Type)
}

// enc is the encrypted data key or share.
func (k MasterKey) enc() string { return k.Fields["enc"] }
