// Package secret keeps plaintext and keys in memory that the kernel neither
// swaps, dumps nor gives to another process, and that is wiped after use.
//
// Memory comes from memfd_secret(2) where the kernel has it (Linux 5.14,
// `secretmem.enable`): such pages are gone even from the kernel's own map.
// Elsewhere it is an anonymous mapping under mlock(2) and MADV_DONTDUMP. Two
// things follow from it: while one memfd_secret page lives the machine cannot
// hibernate (which keeps the plaintext out of the hibernation image), and all
// of it counts against RLIMIT_MEMLOCK unless the process has CAP_IPC_LOCK.
// There is no fall back to memory that can be swapped: what cannot be locked is
// an error.
//
// The package knows nothing of what the bytes mean. It does not guard against
// root, against ptrace(2), nor against copies that others make of Bytes; Harden
// puts a second net under those copies.
package secret
