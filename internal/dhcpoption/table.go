package dhcpoption

// shape says how the text of an option becomes bytes.
type shape uint8

const (
	shapeGuess   shape = iota // by its looks, as for a bare number that no table knows
	shapeText                 // the text itself
	shapeAddrs                // a comma-separated list of addresses
	shapeU8                   // one byte
	shapeU16                  // two bytes
	shapeU32                  // four bytes, for seconds also "infinite"
	shapeBool                 // 0 or 1
	shapeFlag                 // no value at all
	shapeNames                // domain names in DNS form (RFC 1035, compressed by nobody)
	shapeRoutes               // classless static routes (RFC 3442): prefix,gateway[,prefix,gateway…]
	shapePairs                // pairs of addresses: policy filter, static route
	shapeSIP                  // SIP servers: names behind a 0 byte or addresses behind a 1 byte (RFC 3361)
	shapeStrings              // DHCPv6 strings, each behind its length (RFC 5970)
	shapeNTP6                 // DHCPv6 NTP servers, each a suboption (RFC 5908)
	shapeBinary               // hexadecimal bytes joined by ':', or text
)

type option struct {
	code  uint16
	shape shape
}

// ServerAddress is no option: the name "server-ip-address" (dnsmasq's internal number 255) sets the header field of that name.
const ServerAddress = 255

// names4 are the names of DHCPv4 options as dnsmasq (and so every user of extra_dhcp_opts) spells them; the meaning of the
// numbers is IANA's "BOOTP Vendor Extensions and DHCP Options".
var names4 = map[string]option{ //nolint:gochecknoglobals // a constant table
	"netmask": {1, shapeAddrs}, "time-offset": {2, shapeU32}, "router": {3, shapeAddrs}, "time-server": {4, shapeAddrs},
	"dns-server": {6, shapeAddrs}, "log-server": {7, shapeAddrs}, "lpr-server": {9, shapeAddrs}, "hostname": {12, shapeText},
	"boot-file-size": {13, shapeU16}, "domain-name": {15, shapeText}, "swap-server": {16, shapeAddrs},
	"root-path": {17, shapeText}, "extension-path": {18, shapeText}, "ip-forward-enable": {19, shapeBool},
	"non-local-source-routing": {20, shapeBool}, "policy-filter": {21, shapePairs}, "max-datagram-reassembly": {22, shapeU16},
	"default-ttl": {23, shapeU8}, "mtu": {26, shapeU16}, "all-subnets-local": {27, shapeBool}, "broadcast": {28, shapeAddrs},
	"router-discovery": {31, shapeBool}, "router-solicitation": {32, shapeAddrs}, "static-route": {33, shapePairs},
	"trailer-encapsulation": {34, shapeBool}, "arp-timeout": {35, shapeU32}, "ethernet-encap": {36, shapeBool},
	"tcp-ttl": {37, shapeU8}, "tcp-keepalive": {38, shapeU32}, "nis-domain": {40, shapeText}, "nis-server": {41, shapeAddrs},
	"ntp-server": {42, shapeAddrs}, "vendor-encap": {43, shapeBinary}, "netbios-ns": {44, shapeAddrs}, "netbios-dd": {45, shapeAddrs},
	"netbios-nodetype": {46, shapeU8}, "netbios-scope": {47, shapeText}, "x-windows-fs": {48, shapeAddrs},
	"x-windows-dm": {49, shapeAddrs}, "lease-time": {51, shapeU32}, "T1": {58, shapeU32}, "T2": {59, shapeU32},
	"vendor-class": {60, shapeText}, "nis+-domain": {64, shapeText}, "nis+-server": {65, shapeAddrs},
	"tftp-server": {66, shapeText}, "bootfile-name": {67, shapeText}, "mobile-ip-home": {68, shapeAddrs},
	"smtp-server": {69, shapeAddrs}, "pop3-server": {70, shapeAddrs}, "nntp-server": {71, shapeAddrs},
	"irc-server": {74, shapeAddrs}, "user-class": {77, shapeText}, "rapid-commit": {80, shapeFlag}, "fqdn": {81, shapeBinary}, "client-arch": {93, shapeU16},
	"client-interface-id": {94, shapeBinary}, "client-machine-id": {97, shapeBinary}, "posix-timezone": {100, shapeText},
	"tzdb-timezone": {101, shapeText}, "ipv6-only": {108, shapeU32}, "domain-search": {119, shapeNames},
	"sip-server": {120, shapeSIP}, "classless-static-route": {121, shapeRoutes}, "vendor-id-encap": {125, shapeBinary},
	"tftp-server-address": {150, shapeAddrs}, "pxelinux-path-prefix": {210, shapeText}, "pxelinux-config-file": {209, shapeText},
	"ms-classless-static-route": {249, shapeRoutes}, "wpad": {252, shapeText}, "server-ip-address": {ServerAddress, shapeAddrs},
}

// names6 are those of DHCPv6 (IANA's "DHCPv6 Option Codes").
var names6 = map[string]option{ //nolint:gochecknoglobals // a constant table
	"preference": {7, shapeU8}, "sip-server-domain": {21, shapeNames}, "sip-server": {22, shapeAddrs},
	"dns-server": {23, shapeAddrs}, "domain-search": {24, shapeNames}, "nis-server": {27, shapeAddrs},
	"nis+-server": {28, shapeAddrs}, "nis-domain": {29, shapeNames}, "nis+-domain": {30, shapeNames},
	"sntp-server": {31, shapeAddrs}, "information-refresh-time": {32, shapeU32}, "new-posix-timezone": {41, shapeText},
	"new-tzdb-timezone": {42, shapeText}, "posix-timezone": {41, shapeText}, "tzdb-timezone": {42, shapeText},
	"ntp-server": {56, shapeNTP6}, "bootfile-url": {59, shapeText}, "bootfile-param": {60, shapeStrings},
}

// reserved4 are options whose value is the protocol's own business: a port cannot set them.
var reserved4 = map[uint16]bool{0: true, 50: true, 52: true, 53: true, 54: true, 55: true, 57: true, 61: true, 82: true} //nolint:gochecknoglobals // a constant table

// reserved6 likewise, for DHCPv6.
var reserved6 = map[uint16]bool{ //nolint:gochecknoglobals // a constant table
	0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 8: true, 9: true, 11: true, 13: true, 14: true,
	18: true, 19: true, 20: true, 25: true, 26: true,
}

// byCode finds what a number's text looks like; an unknown number is guessed.
func byCode(names map[string]option, code uint16) option {
	found := option{code, shapeGuess}
	for _, o := range names {
		if o.code == code {
			found = o // a code with two names has one shape
		}
	}
	return found
}
