package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/secretfs/secretfs/tests/harness"
)

// TestMountScripts runs the built program on real mounts and files of the real
// sops.
func TestMountScripts(t *testing.T) {
	harness.NeedRoot(t)
	program, sops, age := harness.Program(t), harness.Sops(t), harness.Age(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/mount",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(program)+":"+filepath.Dir(sops)+":"+filepath.Dir(age)+":"+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("TZ", "UTC")
			env.Defer(func() {
				cmd := exec.Command(program, "umount", "--lazy", "--control", filepath.Join(env.WorkDir, "control.sock"))
				_ = cmd.Run() // where the script has not
			})
			return newKey(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"seal":   seal,
			"expand": expand,
		},
	})
}

// newKey makes key.txt and sets $RECIPIENT.
func newKey(env *testscript.Env) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	env.Setenv("RECIPIENT", identity.Recipient().String())
	return os.WriteFile(filepath.Join(env.WorkDir, "key.txt"), []byte(identity.String()+"\n"), 0o600)
}

// seal encrypts a file with sops, as editors do: `seal PLAIN SEALED`.
func seal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: seal PLAIN SEALED")
	}
	ts.Check(ts.Exec("sops", "--disable-version-check", "encrypt", "--age", ts.Getenv("RECIPIENT"), ts.MkAbs(args[0])))
	next := ts.MkAbs(args[1]) + ".next"
	ts.Check(os.WriteFile(next, []byte(ts.ReadFile("stdout")), 0o600))
	ts.Check(os.Rename(next, ts.MkAbs(args[1])))
}

// expand puts the script's variables into files: mountpoints are absolute.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE...")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
