package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/secretfs/secretfs/backend/bitwarden/kdf"
	"github.com/secretfs/secretfs/backend/program"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/fs/mount"
)

// helperConfig is how all helpers of this program are started.
var helperConfig = mount.HelperConfig{Launcher: []string{"become"}, Kind: helperKind}

// helperKind is the one place that says what a helper of each kind may have.
func helperKind(kind string) mount.HelperKind {
	const self = "/proc/self/exe"
	switch kind {
	case keys.KindGPG:
		return mount.HelperKind{Program: self, Args: []string{"helper", kind}, Daemon: true}
	case keys.KindPassphrase, kdf.Kind:
		return mount.HelperKind{Program: self, Args: []string{"helper", kind}}
	case keys.KindPlugin:
		return mount.HelperKind{Program: self, Args: []string{"helper", kind}, Inherits: forPlugins}
	case program.Kind:
		// What password managers leave behind are agents.
		return mount.HelperKind{Program: self, Args: []string{"helper", kind}, Inherits: forPrograms, Daemon: true}
	case keys.KindKeys:
		return mount.HelperKind{
			Program: keysProgram(), Inherits: forClouds,
			Sets: func(name string) bool { return name == keys.VaultAllowlist },
			// Credentials may be in files that only root reads: ~/.aws, what
			// GOOGLE_APPLICATION_CREDENTIALS names, a token that a service
			// account mounts. It reads all of them, and writes nothing.
			Caps: []int{unix.CAP_DAC_READ_SEARCH},
		}
	}
	return mount.HelperKind{}
}

// forPrograms are the variables with which password managers find their agents and
// stores. Those of a system mount are root's, and the programs are not.
func forPrograms(name string) bool {
	system := []string{"PCSCLITE_CSOCK_NAME", "TPM2TOOLS_TCTI", "SYSTEMD_CREDENTIAL_SECRET", "SYSTEMD_TPM2_DEVICE"}
	if slices.Contains(system, name) || os.Geteuid() == 0 {
		return slices.Contains(system, name)
	}
	return forPlugins(name) || name == "GNUPGHOME" || name == "PASSWORD_STORE_DIR"
}

// forPlugins are the variables with which age plugins find tokens and agents,
// in a user mount those of the session.
func forPlugins(name string) bool {
	return strings.HasPrefix(name, "AGE_PLUGIN_") || slices.Contains([]string{
		"PCSCLITE_CSOCK_NAME", "TPM2TOOLS_TCTI", "SSH_AUTH_SOCK",
		"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY",
	}, name)
}

// cloudPrefixes begin the names of what the software kits of the clouds read.
// SOPS_ as a whole is not among them: SOPS_AGE_KEY is a private key.
var cloudPrefixes = []string{
	"AWS_", "GOOGLE_", "CLOUDSDK_", "GCE_METADATA_", "AZURE_", "IDENTITY_", "MSI_", "IMDS_", "HUAWEICLOUD_",
	"VAULT_", "SOPS_GCP_KMS_", "SSL_CERT_",
}

// forClouds are the variables with which secretfs-keys finds credentials and
// servers.
func forClouds(name string) bool {
	for _, prefix := range cloudPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		keys.VaultAllowlist, "NO_GCE_CHECK", "GODEBUG",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	}, name)
}

// keysProgram is secretfs-keys: beside this program, else in PATH.
func keysProgram() string {
	const name = "secretfs-keys"
	if self, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(self), name); isExecutable(beside) {
			return beside
		}
	}
	path, _ := exec.LookPath(name)
	return path
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
