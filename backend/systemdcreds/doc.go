// Package systemdcreds serves credentials that systemd-creds(1) has encrypted, one
// file each, with the host's key or the TPM. They are decrypted by systemd-creds
// itself, which runs as a helper: the format is systemd's own, and the TPM's policy is
// its affair. What is here finds the files, tells names apart and explains refusals.
package systemdcreds
