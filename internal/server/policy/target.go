package policy

// Target is the object that an action is about, as far as rules may ask of it.
type Target interface {
	// Attr is an attribute's value as text: "True" or "False" for booleans, ids as the API shows them. False if the
	// object has no such attribute or none is set. It is always asked for project_id, never for tenant_id.
	//
	// Names with a resource before a colon reach into what the object belongs to: network:project_id and
	// network:shared (of the network in network_id), security_group:project_id, ext_parent:project_id (of the router
	// or floating IP that a nested resource is under).
	Attr(name string) (value string, ok bool)
}

// Attrs is a Target made of a map; for tests, and for objects so small that nothing better is needed.
type Attrs map[string]string

// Attr implements Target.
func (a Attrs) Attr(name string) (string, bool) {
	v, ok := a[name]
	return v, ok
}

// Project is a Target of which nothing but the project is known.
type Project string

// Attr implements Target.
func (p Project) Attr(name string) (string, bool) { return string(p), name == "project_id" }

// nothing is the Target of actions without an object.
type nothing struct{}

func (nothing) Attr(string) (string, bool) { return "", false }
