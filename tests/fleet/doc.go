// Package fleet simulates many machines that poll one server from behind one
// address: the real drivers behind the real cache, a network in memory and
// simulated time (testing/synctest). `make bench-fleet` runs it at full size and
// prints a table; `make test` runs a small one against the same bars.
package fleet
