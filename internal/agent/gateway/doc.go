// Package gateway makes the central parts of routers that are on this host: SNAT and port forwardings of distributed routers,
// centralized routers as a whole, floating IPs that no compute host translates.
//
//	tunnel, endpoints ─▶ plane ─▶ wi-… ═ veth ═ sg-… or qr-…  ┐
//	                                                          │ network namespace of the router: the kernel's forwarding,
//	                                                          │ nftables (table ip weft), connection tracking
//	NIC ◀─▶ plane ◀─▶ wg-… ═ veth ═ qg-…                      ┘
//
// A plan (pure) says from a hostplan.Central what the namespace must hold; the Manager reads what it does hold and changes
// the least. All state is the kernel's, so that packets and connections go on when the agent dies, restarts or is replaced.
// It never touches a namespace that does not bear its mark, and deletes nothing before the agent is in sync.
package gateway
