// Package helper is how a backend talks to a helper: a process of its own,
// outside of the worker's sandbox, that is started for one question and gone after
// the answer. Who starts it, as whom and with what limits, is the business of
// backend.Env.Helper; this package has the two ends of the conversation.
//
// The question is JSON behind its length (4 bytes, big endian), with secrets after
// it in the same way. The answer is a code (1 byte), a length (4 bytes, big endian)
// and a secret or a sentence. Secrets are not JSON, so that no copy of one is made
// that cannot be wiped.
package helper
