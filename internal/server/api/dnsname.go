package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
)

// maxName bounds a name of the DNS in octets, its dots with it.
const maxName = 255

// lowered makes an attribute hold a name of the DNS: it is kept in lower case, since such names are compared so. check tells what
// is wrong with one, "" if nothing is.
func lowered[P, E any](a *attribute[P, E], check func(name string) string) *attribute[P, E] {
	parse := a.parse
	return a.convert(func(v Value) (assignment[P, E], error) {
		if v.kind != isString {
			return nil, model.Invalid("Input value %s must be string type.", v)
		}
		v.text = strings.ToLower(v.text)
		if why := check(v.text); why != "" {
			return nil, reasonf("%s.", why)
		}
		return parse(v)
	})
}

// hostFault is what is wrong with dns_name of a port: a host's name, alone or with its domain.
func hostFault(name string) string {
	if name == "" {
		return ""
	}
	return nameFault(name)
}

// floatingFault is what is wrong with dns_name of a floating IP, to which its domain is added.
func floatingFault(name string) string {
	switch {
	case name == "":
		return ""
	case strings.HasSuffix(name, "."):
		return fmt.Sprintf("'%s' is a FQDN. It should be a relative domain name", name)
	}
	return nameFault(name)
}

// domainFault is what is wrong with a dns_domain.
func domainFault(name string) string {
	switch {
	case name == "":
		return ""
	case !strings.HasSuffix(name, "."):
		return fmt.Sprintf("'%s' is not a FQDN", name)
	}
	return nameFault(name)
}

// nameFault is what is wrong with a name, which may end with a dot.
func nameFault(name string) string {
	bad := func(format string, args ...any) string {
		return fmt.Sprintf("'%s' not a valid PQDN or FQDN. Reason: ", name) + fmt.Sprintf(format, args...)
	}
	trimmed := strings.TrimSuffix(name, ".")
	if len(trimmed) > maxName {
		return bad("'%s' exceeds the %d character FQDN limit", trimmed, maxName)
	}
	labels := strings.Split(trimmed, ".")
	for _, l := range labels {
		switch {
		case l == "":
			return bad("Encountered an empty component")
		case l[0] == '-' || l[len(l)-1] == '-':
			return bad("Name '%s' must not start or end with a hyphen", l)
		case !slices.Contains(keywords, l) && (len(l) > 63 || !isLabel(l)):
			return bad("Name '%s' must be 1-63 characters long, each of which can only be alphanumeric or a hyphen", l)
		}
	}
	if last := labels[len(labels)-1]; len(labels) > 1 && strings.Trim(last, "0123456789") == "" {
		return bad("TLD '%s' must not be all numeric", last)
	}
	return ""
}

// keywords are labels that stand for what they name, of whoever publishes a name in a DNS service (dns-integration-domain-keywords).
var keywords = []string{"<project_id>", "<project_name>", "<user_id>", "<user_name>"}

// isLabel reports whether a text in lower case is made of what labels are made of.
func isLabel(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
