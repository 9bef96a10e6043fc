package survive

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

// roles are what the test binary starts itself as: readers that the kernel may
// leave in D state are better not threads of the test.
var roles = map[string]func(args []string) int{
	"reader": runReader,
}

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "age-plugin-"+pluginName {
		os.Exit(runPlugin())
	}
	if len(os.Args) > 1 {
		if run, ok := roles[os.Args[1]]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	os.Exit(harness.Main(m))
}
