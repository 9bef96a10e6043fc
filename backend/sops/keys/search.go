package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getsops/sops/v3/shamir"

	"github.com/secretfs/secretfs/backend"
	"github.com/secretfs/secretfs/backend/helper"
	"github.com/secretfs/secretfs/backend/secret"
)

// An opener tries to open one master key. It answers errNoMatch where it has
// nothing to do with that key.
type opener func(ctx context.Context, k MasterKey) (*secret.Value, error)

// A search is one attempt at a data key.
type search struct {
	groups []Group
	need   int             // groups to open
	shares []*secret.Value // by group, nil while closed
	causes []error         // why a master key that concerns us was of no use
	tried  map[string]bool // master keys that stand in causes
}

func newSearch(m Metadata) (*search, error) {
	s := &search{groups: m.Groups, need: m.Threshold, shares: make([]*secret.Value, len(m.Groups)), tried: map[string]bool{}}
	if s.need == 0 || len(s.groups) == 1 {
		s.need = len(s.groups)
	}
	if len(s.groups) == 0 {
		return nil, helper.Refuse(backend.ErrCorrupt, "the sops section names no master key")
	}
	if s.need < 1 || s.need > len(s.groups) || s.need == 1 && len(s.groups) > 1 {
		return nil, helper.Refuse(backend.ErrCorrupt, "shamir_threshold is %d, expected 2 to %d, the number of key groups", s.need, len(s.groups))
	}
	return s, nil
}

func (s *search) destroy() {
	for _, v := range s.shares {
		v.Destroy()
	}
}

func (s *search) opened() (n int) {
	for _, v := range s.shares {
		if v != nil {
			n++
		}
	}
	return n
}

// run goes through all groups with one opener before the next, dearer one is
// used. Its error is that of ctx alone; what went wrong is in causes.
func (s *search) run(ctx context.Context, openers []opener) error {
	for _, open := range openers {
		for i := range s.groups {
			if s.opened() >= s.need {
				return nil
			}
			if s.shares[i] == nil {
				s.shares[i] = s.openGroup(ctx, s.groups[i], open)
			}
			if ctx.Err() != nil && s.opened() < s.need {
				return s.interrupted(ctx.Err())
			}
		}
	}
	return nil
}

func (s *search) openGroup(ctx context.Context, g Group, open opener) *secret.Value {
	for _, k := range g {
		v, err := open(ctx, k)
		if err == nil {
			return v
		}
		if !errors.Is(err, errNoMatch) {
			s.note(k, err)
		}
	}
	return nil
}

// note keeps each cause once: groups may share a recipient.
func (s *search) note(k MasterKey, err error) {
	s.tried[k.String()] = true
	if !slices.ContainsFunc(s.causes, func(c error) bool { return c.Error() == err.Error() }) {
		s.causes = append(s.causes, err)
	}
}

func (s *search) interrupted(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return helper.Refuse(backend.ErrTimeout, "%s", sentence([]string{"no data key before the deadline"}, s.causes, nil))
	}
	return fmt.Errorf("recovering the data key: %w", err)
}

// combine makes the data key of the shares.
func (s *search) combine(h *hand) (*secret.Value, error) {
	if s.opened() < s.need {
		return nil, s.explain(h)
	}
	if len(s.groups) == 1 {
		v := s.shares[0]
		if v.Len() != dataKeyLen {
			return nil, helper.Refuse(backend.ErrCorrupt, "the data key has %d bytes, expected %d", v.Len(), dataKeyLen)
		}
		s.shares[0] = nil
		return v, nil
	}
	var parts [][]byte
	for _, v := range s.shares {
		if v == nil {
			continue
		}
		if v.Len() != shareLen {
			return nil, helper.Refuse(backend.ErrCorrupt, "the share of a key group has %d bytes, expected %d", v.Len(), shareLen)
		}
		parts = append(parts, v.Bytes())
	}
	key, err := shamir.Combine(parts)
	if err != nil {
		return nil, helper.Refuse(backend.ErrCorrupt, "the shares of the key groups do not fit together")
	}
	return secret.From(key)
}

// explain says why there is no data key, each cause once.
func (s *search) explain(h *hand) error {
	var parts []string
	if len(s.groups) > 1 {
		parts = append(parts, fmt.Sprintf("opened %d of the %d key groups needed", s.opened(), s.need))
	}
	lead := "no identity matches "
	if len(h.ages)+len(h.plugins)+len(h.pgp) == 0 {
		lead = "no identity is at hand for "
	}
	if who := recipients(s.unmatched()); who != "" {
		parts = append(parts, lead+who)
	}
	return helper.Refuse(worst(s.causes), "%s", sentence(parts, s.causes, h.problems))
}

// unmatched are the master keys of the closed groups that nothing was tried on.
func (s *search) unmatched() (names []string) {
	for i, g := range s.groups {
		if s.shares[i] != nil {
			continue
		}
		for _, k := range g {
			if name := k.String(); !s.tried[name] && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// recipients puts names into a phrase that fits a line.
func recipients(names []string) string {
	const most = 5
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return "the recipient " + names[0]
	case n > most:
		return fmt.Sprintf("any of the %d recipients: %s and %d more", n, strings.Join(names[:most], ", "), n-most)
	default:
		return fmt.Sprintf("any of the %d recipients: %s", n, strings.Join(names, ", "))
	}
}

// sentence puts everything that is known on one line.
func sentence(parts []string, causes []error, problems []string) string {
	for _, err := range causes {
		parts = append(parts, err.Error())
	}
	return strings.Join(append(parts, problems...), "; ")
}
