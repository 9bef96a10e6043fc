package guest

import (
	"os"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

func TestMain(m *testing.M) {
	if os.Getpid() == 1 && os.Getenv(envGuest) != "" {
		boot()
	}
	os.Exit(harness.Main(m))
}
