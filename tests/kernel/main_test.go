package kernel

import (
	"os"
	"testing"

	"github.com/secretfs/secretfs/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
