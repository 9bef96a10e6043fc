package sops

import (
	"fmt"
	"os"
	"testing"

	"github.com/secretfs/secretfs/backend/watch"
)

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(programDir)
	if watches, dirs := watch.Stats(); watches+dirs > 0 {
		fmt.Printf("%d watches of %d directories are left behind\n", watches, dirs)
		code = 1
	}
	os.Exit(code)
}
