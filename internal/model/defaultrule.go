package model

// KindDefaultRule is the kind of default security group rules.
const KindDefaultRule Kind = "default_security_group_rule"

// DefaultRule is a rule that new security groups begin with (API reference: default security group rules).
type DefaultRule struct {
	// Rule as new groups get it. Its id is the template's; group and project are not set.
	Rule SecurityGroupRule `json:"rule"`
	// RemoteParent: the remote group is the group itself.
	RemoteParent bool `json:"remote_parent,omitempty"`
	// InDefault and InCustom say which groups get it: the projects' default groups, and all others.
	InDefault bool `json:"in_default,omitempty"`
	InCustom  bool `json:"in_custom,omitempty"`
	// Gone marks one of the four that every cloud begins with as deleted.
	Gone bool `json:"gone,omitempty"`
}
