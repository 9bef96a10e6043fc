package lint

import (
	"strings"
	"testing"
)

// heavy is what must not be linked into the worker: megabytes of code that
// talks to networks, and parsers that it does not need. cmd/secretfs-keys links
// them, in a process of its own.
var heavy = []string{
	"github.com/aws/",
	"github.com/Azure/",
	"github.com/AzureAD/",
	"cloud.google.com/",
	"google.golang.org/",
	"github.com/hashicorp/",
	"github.com/huaweicloud/",
	"github.com/getsops/sops/v3/aes",
	"github.com/getsops/sops/v3/decrypt",
	"github.com/getsops/sops/v3/stores",
	"github.com/getsops/sops/v3/keyservice",
	"github.com/getsops/sops/v3/kms",
	"github.com/spf13/cobra/doc",
	"github.com/rogpeppe/",
}

func TestWorkerLinksNothingHeavy(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/secretfs") {
		if p.ImportPath == "github.com/getsops/sops/v3" {
			t.Errorf("secretfs links the root of sops")
		}
		for _, prefix := range heavy {
			if strings.HasPrefix(p.ImportPath, prefix) {
				t.Errorf("secretfs links %s", p.ImportPath)
			}
		}
	}
}
