package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/secretfs/secretfs/tests/harness"
)

// How a policy names the secrets of a file.
const (
	whole  = "whole file"  // one line: directories: {"": {backend: main}}
	listed = "JSON policy" // each secret for itself, as Nix writes it
)

func keyName(i int) string { return fmt.Sprintf("service-%03d-secret-%06d", i%100, i) }

// large makes the files of a mount of n secrets and does not mount it.
func large(b *testing.B, n int, how string) *harness.Mount {
	b.Helper()
	m := harness.New(b, harness.Options{NoMount: true, Plain: "a: b\n"})
	fill(b, m, n)
	switch how {
	case listed:
		list(b, m, n)
	default:
		m.WritePolicy(harness.Options{})
	}
	return m
}

// fill has sops encrypt n secrets into the mount's YAML file. The plaintext is
// given as JSON: sops takes 48 s to read 100,000 keys as YAML.
func fill(b *testing.B, m *harness.Mount, n int) {
	b.Helper()
	var plain strings.Builder
	plain.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&plain, "%q: %q,\n", keyName(i), fmt.Sprintf("%064d", i))
	}
	in := m.Root + "/plain.json"
	if err := os.WriteFile(in, []byte(strings.TrimSuffix(plain.String(), ",\n")+"}"), 0o600); err != nil {
		b.Fatal(err)
	}
	defer os.Remove(in)
	cmd := exec.Command(harness.Sops(b), "--disable-version-check", "encrypt", "--age", m.Recipient, "--output-type", "yaml", in)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("sops encrypt: %v\n%s", err, problems.String())
	}
	if err := os.WriteFile(m.Secrets, out, 0o600); err != nil {
		b.Fatal(err)
	}
}

// list writes the policy as the Nix modules do: JSON in one line, every secret
// with all its settings.
func list(b *testing.B, m *harness.Mount, n int) {
	b.Helper()
	var p strings.Builder
	fmt.Fprintf(&p, `{"mount":%q,"control":%q,"audit":{"file":%q,"journal":false},"backends":{"main":{"type":"sops","file":%q,"age":{"key_files":[%q]}}},"secrets":{`,
		m.Dir, m.Control, m.AuditLog, m.Secrets, m.Keys)
	for i := range n {
		if i > 0 {
			p.WriteByte(',')
		}
		fmt.Fprintf(&p, `"%s":{"backend":"main","gid":null,"group":"root","key":"%[1]s","mode":"0440","only":null,"owner":"root","uid":null}`, keyName(i))
	}
	p.WriteString("}}")
	if err := os.WriteFile(m.Policy, []byte(p.String()), 0o644); err != nil {
		b.Fatal(err)
	}
}

// decrypt is `sops -d` of the mount's file.
func decrypt(b *testing.B, m *harness.Mount) time.Duration {
	b.Helper()
	cmd := exec.Command(harness.Sops(b), "--disable-version-check", "-d", m.Secrets)
	cmd.Env = append(os.Environ(), "SOPS_AGE_KEY_FILE="+m.Keys)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("sops -d: %v", err)
	}
	return time.Since(start)
}
