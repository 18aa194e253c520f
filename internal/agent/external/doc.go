// Package external is the agent's voice on external networks: it finds the MACs of next hops for floating IPs, keeps what is
// known of them fresh, announces the addresses that are served here, and notices when somebody else claims one.
//
//	PuntExternal ─▶ first packets wait ─▶ ARP request, from the floating IP and its MAC ─▶ SendOutside
//	PuntNeighbor ─▶ Learn, the packets that wait ─▶ Resend
//	PuntNeighbor of an address of ours ─▶ a problem, in words
//
// It knows no kernel; a plane sends and learns for it. Whatever it keeps is bounded, by port and in all. When the agent
// is dead, what was learned stays, and new next hops must wait.
package external
