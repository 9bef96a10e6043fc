package age

// Entries is how many files b knows of.
func Entries(b *Backend) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries)
}
