package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"filippo.io/age"
)

// The names of the demo's files, as they show in its commands.
const (
	keyName    = "key.txt"
	sopsName   = "secrets.yaml"
	policyName = "policy.yaml"
	mountName  = "secrets"

	first  = "correct horse battery staple"
	second = "a new one, after the rotation"
)

func (t *tour) encrypt(ctx context.Context) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("making an age key: %w", err)
	}
	t.recipient = identity.Recipient().String()
	if err := t.write(keyName, identity.String()+"\n"); err != nil {
		return err
	}
	t.env = []string{"SOPS_AGE_KEY_FILE=" + t.path(keyName)}
	t.say("made %s, a new age identity; its recipient is %s", keyName, t.recipient)

	// Through a pipe, and not through a file that would have to be wiped.
	document := "db:\n    password: " + first + "\napi-token: t0k3n-of-the-demo\n"
	sealed, err := t.quietly(ctx, line{
		args:  []string{t.sops, "encrypt", "--age", t.recipient, "--input-type", "yaml", "--output-type", "yaml", "/dev/stdin"},
		input: document,
	})
	if err != nil {
		return fmt.Errorf("encrypting with sops: %w: %s", err, sealed)
	}
	if err := t.write(sopsName, sealed); err != nil {
		return err
	}
	t.say("the plaintext goes to sops through a pipe and is never in a file")
	fmt.Fprintf(t.out, "   $ sops encrypt --age %.12s... --input-type yaml --output-type yaml /dev/stdin > %s\n", t.recipient, sopsName)
	_, err = t.run(ctx, line{args: []string{"head", "-n", "3", sopsName}})
	return err
}

func (t *tour) writePolicy(ctx context.Context) error {
	head, err := exec.LookPath("head")
	if err != nil {
		return fmt.Errorf("finding head: %w", err)
	}
	policy := `mount: ` + t.path(mountName) + `
control: control.sock
audit: {file: audit.jsonl}
backends:
  main: {type: sops, file: ` + sopsName + `, age: {key_files: [` + keyName + `]}}
secrets:
  db/password: {backend: main}
  api-token:   {backend: main, mode: "0440", only: {executables: [` + head + `]}}
`
	if err := os.Mkdir(t.path(mountName), 0o755); err != nil {
		return fmt.Errorf("making the mountpoint: %w", err)
	}
	if err := t.write(policyName, policy); err != nil {
		return err
	}
	if _, err := t.run(ctx, line{args: []string{"cat", policyName}}); err != nil {
		return err
	}
	_, err = t.secretfs(ctx, "check", "--policy", policyName)
	return err
}

func (t *tour) mount(ctx context.Context) error {
	if _, err := t.secretfs(ctx, "mount", "--policy", policyName, "--detach"); err != nil {
		return err
	}
	_, err := t.run(ctx, line{args: []string{"ls", "-lR", mountName}})
	return err
}

func (t *tour) read(ctx context.Context) error {
	got, err := t.run(ctx, line{shown: "cat secrets/db/password; echo", args: []string{"cat", "secrets/db/password"}})
	if err != nil {
		return err
	}
	if got != first {
		return fmt.Errorf("the secret reads %d bytes and should be %d", len(got), len(first))
	}
	_, err = t.run(ctx, line{
		shown: "stat -c '%A %U %s bytes  %n' secrets/db/password",
		args:  []string{"stat", "-c", "%A %U %s bytes  %n", "secrets/db/password"},
	})
	if err != nil {
		return err
	}
	return t.lastRecord(ctx)
}

func (t *tour) refuse(ctx context.Context) error {
	t.say("api-token is for head only, whoever runs it")
	if _, err := t.run(ctx, line{args: []string{"cat", "secrets/api-token"}, fails: true}); err != nil {
		return err
	}
	if err := t.lastRecord(ctx); err != nil {
		return err
	}
	_, err := t.run(ctx, line{shown: "head -c 99 secrets/api-token; echo", args: []string{"head", "-c", "99", "secrets/api-token"}})
	return err
}

func (t *tour) rotate(ctx context.Context) error {
	t.say("the new value goes in through a pipe, too")
	_, err := t.run(ctx, line{
		shown: `sops set --value-stdin secrets.yaml '["db"]["password"]'`,
		args:  []string{t.sops, "set", "--value-stdin", sopsName, `["db"]["password"]`},
		input: `"` + second + `"`,
	})
	if err != nil {
		return err
	}
	cat := line{args: []string{"cat", "secrets/db/password"}}
	deadline := time.Now().Add(3 * time.Second)
	for got := ""; got != second && time.Now().Before(deadline); {
		if got, err = t.quietly(ctx, cat); err != nil {
			return fmt.Errorf("reading the rotated secret: %w", err)
		}
	}
	got, err := t.run(ctx, cat)
	if err == nil && got != second {
		err = fmt.Errorf("the old value is still read 3 s after the rotation")
	}
	return err
}

func (t *tour) verify(ctx context.Context) error {
	if _, err := t.secretfs(ctx, "audit", "show", "--policy", policyName, "--denied"); err != nil {
		return err
	}
	_, err := t.secretfs(ctx, "audit", "verify", "--policy", policyName)
	return err
}

func (t *tour) unmount(ctx context.Context) error {
	if _, err := t.secretfs(ctx, "umount", "--policy", policyName); err != nil {
		return err
	}
	_, err := t.run(ctx, line{args: []string{"ls", "-A", mountName}})
	return err
}

// secretfs shows a command of the program itself.
func (t *tour) secretfs(ctx context.Context, args ...string) (string, error) {
	return t.run(ctx, line{
		shown: "secretfs " + strings.Join(args, " "),
		args:  append([]string{t.program}, args...),
	})
}

func (t *tour) lastRecord(ctx context.Context) error {
	_, err := t.run(ctx, line{args: []string{"tail", "-n", "1", "audit.jsonl"}})
	return err
}
