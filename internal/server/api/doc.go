// Package api answers the Networking API v2.0 over HTTP.
//
// Every resource is declared by one descriptor (Resource): its attributes, who may set them, their defaults,
// validation, filters and sort keys, and the rules (package rules) that create, change and delete it. The engine makes
// everything else of that: bodies and faults as Neutron has them, bulk creation, filters, fields, sorting, paging, tags,
// If-Match. Nothing here decides what is allowed in the network: that is the rules' business; and nothing here touches
// the store: a read answers from a snapshot of the world, a write is one rule given to the world's writer.
//
//	request ─▶ identity ─▶ route ─▶ body: parse, validate ─▶ quota ─▶ policy ─▶ rule (one transaction) ─▶ encode
//
// Descriptors compile to functions that append JSON: no reflection and no maps on the way out.
//
// A new resource is a struct in model, a table in world, rules in rules, and a file here that declares a Resource and
// is named in resources().
package api
