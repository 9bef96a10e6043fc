package sops

// A subscription is one backend's interest in some files.
type subscription struct{}

func subscribe(files []string, noticed func()) *subscription { return &subscription{} }

func (s *subscription) close() {}
