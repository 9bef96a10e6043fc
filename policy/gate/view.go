package gate

import (
	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/policy"
)

// A View is one state of the configuration: a policy and what belongs to it.
// It is immutable; a reload swaps the whole.
type View struct {
	Policy *policy.Policy
	policy.Checker
	Backends *backend.Set
}

// Static says what the policy itself has at path, leaving out what is there
// only because of a dynamic directory above.
func (v *View) Static(path string) (policy.Node, bool) {
	n, ok := v.Tree.Lookup(path)
	return n, ok && n.Kind != policy.Dynamic
}
