// Package vault finds items in a Bitwarden vault and opens single fields of
// them. A vault stays as it was synchronised, which is ciphertext; what is kept
// beside it are the keys of the account and of its organisations, and the names
// of items, folders and collections, in locked memory. One field of one item is
// decrypted for each read.
//
// An item that is damaged, or in a form that is not understood, breaks what refers to
// it and nothing else.
package vault
