// Makes vectors.json with Bitwarden's own library, which the package is tested
// against: npm install @bitwarden/sdk-internal, then node make.cjs > vectors.json
const { PureCrypto: P } = require("@bitwarden/sdk-internal/node/bitwarden_wasm_internal.js");
const b64 = (b) => Buffer.from(b).toString("base64");
const utf8 = (s) => new TextEncoder().encode(s);

// A COSE_Key of 32 bytes for an algorithm, padded to more than 64 bytes.
function coseKey(alg, k) {
  const cose = Buffer.concat([
    Buffer.from([0xa5, 1, 4, 2, 0x50]), Buffer.alloc(16, 7), // kty, kid
    Buffer.from([3, 0x3a]), Buffer.from(Uint32Array.of(-1 - alg).buffer).reverse(), // alg
    Buffer.from([4, 0x84, 3, 4, 5, 6]), // key_ops: encrypt, decrypt, wrap, unwrap
    Buffer.from([0x20, 0x58, 32]), k,
  ]);
  const pad = Math.max(1, 65 - cose.length);
  return Buffer.concat([cose, Buffer.alloc(pad, pad)]);
}

const keys = {
  "aes-hmac": P.make_user_key_aes256_cbc_hmac(),
  "cose-xchacha20": P.make_user_key_xchacha20_poly1305(),
  "cose-xaes": coseKey(-70010, Buffer.from(P.derive_kdf_material(utf8("vector"), utf8("vector"), { pBKDF2: { iterations: 5000 } }))),
};
const out = { symmetric: [], wrapped: [], accounts: [], rsa: [], files: [] };
for (const [name, key] of Object.entries(keys)) {
  for (const plain of ["", "pa55word of a vector", "sixteen bytes ok", "ünïcödé ".repeat(40)]) {
    out.symmetric.push({ name, key: b64(key), plain, sealed: P.symmetric_encrypt_string(plain, key) });
  }
  const inner = P.make_user_key_aes256_cbc_hmac();
  out.wrapped.push({ name, key: b64(key), plain: b64(inner), sealed: P.wrap_symmetric_key(inner, key) });
  const file = utf8("the content of a file\n".repeat(20));
  out.files.push({ name, key: b64(key), plain: b64(file), sealed: b64(P.symmetric_encrypt_filedata(file, key)) });
}
for (const [name, kdf] of [
  ["pbkdf2", { pBKDF2: { iterations: 600000 } }],
  ["argon2id", { argon2id: { iterations: 3, memory: 64, parallelism: 4 } }],
]) {
  const email = "me@example.test", password = "correct horse battery staple";
  for (const user of ["aes-hmac", "cose-xchacha20", "cose-xaes"]) {
    out.accounts.push({
      name: name + " " + user, email, password, kdf, key: b64(keys[user]),
      master: b64(P.derive_kdf_material(utf8(password), utf8(email), kdf)),
      sealed: P.encrypt_user_key_with_master_password(keys[user], password, email, kdf),
    });
  }
}
const rsa = P.rsa_generate_keypair(), org = P.make_user_key_aes256_cbc_hmac();
out.rsa.push({
  private_key: b64(rsa), key: b64(keys["aes-hmac"]), wrapped: P.wrap_decapsulation_key(rsa, keys["aes-hmac"]),
  plain: b64(org), sealed: P.encapsulate_key_unsigned(org, P.rsa_extract_public_key(rsa)),
});
console.log(JSON.stringify(out, null, 1));
