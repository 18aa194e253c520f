// Package feed tells every agent what its host must know, and takes what the agents report.
//
// A host's interest is a set of topics: the networks of its own ports, the routers attached to them, those routers'
// networks, and further only through a route whose next hop is another router's interface. Objects belong to topics. One
// goroutine (the hub) follows the world's commits, encodes each changed object once, and hands it to the sessions that
// follow its topic; a session's own goroutine sends. What a change costs therefore depends on the hosts interested in
// it, not on the hosts that there are.
//
//	world ─commit─▶ hub ─topic─▶ session(host) ═gRPC═▶ agent
//	world ◀─rule── reports ◀──── session(host) ◀══════ agent
//
// Objects carry a version, the hash of their body. An agent that connects names what it has; it is sent what differs and
// the list of all that is in its scope, and drops the rest. An agent is believed about its own host only: the name in
// its certificate is the only one that it may speak for.
//
// The package knows gRPC, wire, world and topics. What a report means to a port is a rule's business (Rules).
package feed
