// Package bwserver is a Bitwarden server for tests. It stores what clients send and
// gives it back, and looks into none of it: whatever is encrypted stays so. What a
// client of another make reads from it, another client has written.
//
// It is held to the protocol by the official command line client, which tests run
// against it. Faults are put in by Hook.
package bwserver
