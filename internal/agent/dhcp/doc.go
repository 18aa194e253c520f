// Package dhcp answers the DHCP questions of this host's instances, from memory.
//
// A lease is a port's fixed IP: it is decided by the server, comes with the feed, and is the same after any restart, so
// there is nothing to store here and renewals go on with the server away. Server4 (RFC 2131) and Server6 (RFC 8415) are
// given a punted frame and the host's state and return the frames to send back; what is in an answer comes from the
// endpoint alone, so the answer cannot be another port's. They never do I/O, never wait, and believe nothing that the
// instance says of itself except its wishes.
package dhcp
