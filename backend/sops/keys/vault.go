package keys

import "strings"

// VaultAllowlist is the variable with which sops (hcvault, from 3.13 on) is told
// the servers that it may send a Vault token to: addresses with commas between
// them, or "none". Without it sops sends the token to whatever server the
// encrypted file names.
const VaultAllowlist = "SOPS_HC_VAULT_ALLOWLIST"

func allowlist(addresses []string) string {
	if len(addresses) == 0 {
		return "none"
	}
	return strings.Join(addresses, ",")
}

// DefaultVaultAllowlist is the allowlist where the policy names no addresses:
// the operator's own, else the one server that VAULT_ADDR names, else none.
func DefaultVaultAllowlist(getenv func(string) string) string {
	if own := getenv(VaultAllowlist); own != "" {
		return own
	}
	if address := getenv("VAULT_ADDR"); address != "" {
		return allowlist([]string{address})
	}
	return allowlist(nil)
}
