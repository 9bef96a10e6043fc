// Package conf reads configuration documents, YAML or JSON, without losing
// where in the file everything stands. It is strict where the formats are lax:
// duplicate keys, anchors, merge keys, tags and second documents are errors.
// Decoding collects every problem of a file instead of ending at the first.
//
// It knows neither the policy nor any backend, so that both may use it.
package conf
