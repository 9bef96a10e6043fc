// Package bitwarden reads secrets out of the vault of a Bitwarden account: on
// Bitwarden's cloud, a self-hosted server, or Vaultwarden.
//
// It logs in as the command line client does, with a personal API key or with the
// master password, once for this machine: tokens are kept over the death of a
// worker and over a reboot. The master password is needed in any case, because an
// API key decrypts nothing. It is used once, in a helper process, and not kept;
// what is kept is the account's key, in locked memory.
//
// The vault is fetched whole when the server says that it has changed, and stays
// as it came, which is ciphertext: in memory, with the next worker, and in the state
// directory, from where it is served when a machine starts without its server.
//
// The rooms: enc opens what clients encrypt, kdf derives keys in the helper, api
// speaks to servers, vault finds items and opens single fields of them. This
// package has the settings, the session, and when to ask the server what.
package bitwarden
