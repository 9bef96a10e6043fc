package keys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"filippo.io/age/plugin"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/sops/keys"
	"github.com/secretfs/secretfs/backend/sops/keys/keystest"
)

// pluginDir has this binary in it under the name of the plugin.
func pluginDir(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "age-plugin-"+pluginName)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func pluginDoc(t testing.TB, dir string) *keystest.Doc {
	t.Helper()
	recipient := plugin.EncodeRecipient(pluginName, []byte("r"))
	return keystest.Encrypt(t, "", []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, "--age", recipient)
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	dir := pluginDir(t)
	doc := pluginDoc(t, dir)
	native, nativeRecipient := ageKey(t)
	identity := func(what string) string {
		return plugin.EncodeIdentity(pluginName, []byte(what)) + "\n"
	}
	ring := func(text string) *keys.Ring {
		return newRing(t, keys.Config{KeyFiles: []string{write(t, text)}, PluginsPath: dir}, helpers())
	}

	opens(t, ring(identity("works")), doc)
	opens(t, ring(identity("talks")), doc)
	opens(t, ring(native+identity("other")+identity("fails")+identity("works")), doc)
	opens(t, newRing(t, keys.Config{KeyFiles: []string{write(t, identity("works"))}}, helpers("PATH="+dir+":"+os.Getenv("PATH"))), doc)

	refuses(t, ring(identity("other")), doc.Meta, backend.ErrLocked, "no identity matches the recipient age1"+pluginName)
	refuses(t, ring(identity("fails")), doc.Meta, backend.ErrRejected, "no device is plugged in")
	refuses(t, ring(identity("asks")), doc.Meta, backend.ErrLocked, `age-plugin-fstest asks "Enter the PIN", and nobody is there to answer`)
	refuses(t, ring(plugin.EncodeIdentity("absent", nil)), doc.Meta, backend.ErrLocked, "age-plugin-absent is neither in plugins_path nor in PATH")
	refuses(t, newRing(t, keys.Config{KeyFiles: []string{write(t, identity("works"))}}, nil), doc.Meta, backend.ErrLocked, `needs the helper "plugin"`)

	both := keystest.Encrypt(t, "", nil, "--age", nativeRecipient)
	opens(t, newRing(t, keys.Config{KeyFiles: []string{write(t, native+identity("works"))}}, nil), both) // without any helper
}

// TestPluginHangs has the deadline end the plugin's process as well.
func TestPluginHangs(t *testing.T) {
	t.Parallel()
	dir := pluginDir(t)
	doc := pluginDoc(t, dir)
	pidFile := filepath.Join(dir, "pid")
	cfg := keys.Config{KeyFiles: []string{write(t, plugin.EncodeIdentity(pluginName, []byte("hangs "+pidFile)))}, PluginsPath: dir}
	for name, tt := range map[string]struct {
		limit func(ctx context.Context) (context.Context, context.CancelFunc)
		kind  error
	}{
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Second)
		}, backend.ErrTimeout},
		"cancel": {cancelOnceRunning(pidFile), context.Canceled},
	} {
		os.Remove(pidFile)
		ctx, cancel := tt.limit(testContext(t))
		_, err := newRing(t, cfg, helpers()).DataKey(ctx, doc.Meta)
		cancel()
		if !errors.Is(err, tt.kind) {
			t.Errorf("%s: got the error %v, expected %v", name, err, tt.kind)
		}
		b, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatalf("%s: the plugin did not run: %v", name, err)
		}
		pid, _ := strconv.Atoi(string(b))
		for end := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the plugin lives on", name)
			}
		}
	}
}

func cancelOnceRunning(pidFile string) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		go func() {
			for ctx.Err() == nil {
				if b, err := os.ReadFile(pidFile); err == nil && len(b) > 0 {
					cancel()
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		return ctx, cancel
	}
}

// alive is false for a zombie too: who reaps it, is not ours to say.
func alive(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err == nil && len(b) > 0 && syscall.Kill(pid, 0) == nil
}
