package policy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/secretfs/secretfs/policy"
)

// What a Case does not need to know of a caller must not change its decision.
func TestNeedsPower(t *testing.T) {
	const files = 2000
	r := rand.New(rand.NewPCG(1, 2))
	id := func() uint32 { return r.Uint32N(3) }
	var text strings.Builder
	text.WriteString(oneBackend + "\nsecrets:\n")
	for i := range files {
		only := ""
		if i%10 == 0 {
			only = fmt.Sprintf(", only: {groups: [\"%d\"]}", id())
		}
		fmt.Fprintf(&text, "  d%d/s: {owner: \"%d\", group: \"%d\", mode: \"0%03o\"%s}\n", i, id(), id(), r.Uint32N(0o1000), only)
	}
	text.WriteString("directories:\n")
	for i := range files {
		fmt.Fprintf(&text, "  d%d: {owner: \"%d\", group: \"%d\", dir_mode: \"0%03o\"}\n", i, id(), id(), r.Uint32N(0o1000)|0o111*uint32(i%2))
	}
	k := newChecker(t, mustParse(t, text.String()))
	everyone := []policy.IDRange{{First: 0, Count: 1 << 31}}
	left, allowed := 0, 0
	for i := range files * 4 {
		path := fmt.Sprintf("d%d/s", i%files)
		n, _ := k.Tree.Lookup(path)
		full := user(id(), id(), id(), id())
		full.DACOverride, full.DACReadSearch = r.IntN(2) == 0, r.IntN(2) == 0
		full.UIDMap, full.GIDMap = everyone, everyone
		c := k.Case(path, n)
		if c.Needs(full.UID, full.GID).Power {
			continue
		}
		left++
		want, got := c.Decide(&full), c.Decide(&policy.Caller{UID: full.UID, GID: full.GID})
		if want.Allowed != got.Allowed {
			t.Fatalf("%s: %v for uid %d gid %d alone, %v with groups %v", path, got, full.UID, full.GID, want, full.Groups)
		}
		if got.Allowed {
			allowed++
		}
	}
	if left < files/10 || allowed < files/10 {
		t.Errorf("only %d of %d cases need no groups, %d of them allowed", left, files*4, allowed)
	}
}

func TestNeedsFile(t *testing.T) {
	k := newChecker(t, mustParse(t, checkerPolicy))
	for path, want := range map[string]bool{"mem0/narrow": true, "mem0/token": false, "apps/x": false} {
		n, _ := k.Tree.Lookup(path)
		if got := k.Case(path, n).Needs(501, 50).File; got != want {
			t.Errorf("%s: needs the executable's file: %v, want %v", path, got, want)
		}
	}
}
