package config

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Options lists every option that there is, those included that are accepted and mean nothing (Gone), in the order of
// their declaration. The list is the caller's.
func Options() []*Option {
	var l Loaded
	return l.table().opts
}

// grouped returns the options that mean something, by group; groups in the order in which they first appear.
func grouped(role Role) (groups []string, of map[string][]*Option) {
	of = map[string][]*Option{}
	for _, o := range Options() {
		if o.Gone != "" || o.Role&role == 0 {
			continue
		}
		if of[o.Group] == nil {
			groups = append(groups, o.Group)
		}
		of[o.Group] = append(of[o.Group], o)
	}
	return groups, of
}

// DefaultText is what the documents show as the default.
func (o *Option) DefaultText() string {
	switch {
	case o.Shown != "":
		return o.Shown
	case o.NoDefault:
		return "<not set>"
	}
	return o.Default
}

// WriteSample writes a configuration file that sets nothing: every option for role, commented out at its default, with
// its help. Uncommenting a line changes nothing, unless its default is in angle brackets.
func WriteSample(w io.Writer, role Role) error {
	var b strings.Builder
	b.WriteString("# Configuration of Weft. Files of Neutron's may be given as they are; this one shows what Weft reads of them.\n")
	groups, of := grouped(role)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n[%s]\n", g)
		for _, o := range of[g] {
			b.WriteString("\n")
			for _, line := range wrap(o.Help+" ("+o.Kind+")", 100) {
				b.WriteString("# " + line + "\n")
			}
			if len(o.Choices) > 0 {
				b.WriteString("# One of: " + strings.Join(o.Choices, ", ") + "\n")
			}
			fmt.Fprintf(&b, "#%s\n", strings.TrimRight(o.Option+" = "+o.DefaultText(), " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks text into lines of at most width bytes where words allow.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// WriteReference writes docs/configuration.md.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(referenceHead)
	groups, of := grouped(ForServer | ForAgent)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n### [%s]\n\n| option | for | type | default | what it does |\n|---|---|---|---|---|\n", g)
		for _, o := range of[g] {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", o.Option, o.Role, o.Kind, code(o.DefaultText()), cell(o.Help)+o.choicesText()+o.olderText())
		}
	}
	b.WriteString("\n## Options of Neutron's that are accepted and not needed\n\n" +
		"Each draws a warning that says what Weft does instead.\n\n| options | instead |\n|---|---|\n")
	for _, r := range goneRows() {
		fmt.Fprintf(&b, "| %s | %s |\n", r[0], cell(r[1]))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o *Option) choicesText() string {
	if len(o.Choices) == 0 {
		return ""
	}
	return " One of: " + cell(strings.Join(o.Choices, ", ")) + "."
}

func (o *Option) olderText() string {
	if len(o.Older) == 0 {
		return ""
	}
	var names []string
	for _, n := range o.Older {
		if n.Group == o.Group {
			names = append(names, "`"+n.Option+"`")
			continue
		}
		names = append(names, "`["+n.Group+"] "+n.Option+"`")
	}
	return " Older: " + strings.Join(names, ", ") + "."
}

// goneRows are the obsolete options, one row per reason.
func goneRows() [][2]string {
	var rows [][2]string
	for _, o := range Options() {
		if o.Gone == "" {
			continue
		}
		name := "`[" + o.Group + "] " + o.Option + "`"
		i := slices.IndexFunc(rows, func(r [2]string) bool { return r[1] == o.Gone })
		if i < 0 {
			rows = append(rows, [2]string{name, o.Gone})
			continue
		}
		rows[i][0] += ", " + name
	}
	return rows
}

func code(s string) string {
	if s == "" || strings.HasPrefix(s, "<") {
		return cell(s)
	}
	return "`" + s + "`"
}

// cell makes text fit for a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", ">", "&gt;").Replace(s)
}

const referenceHead = "# Configuration\n\n" +
	"<!-- Made from the table of options in internal/config by `go test ./internal/config -run TestReference -update`; do not edit. -->\n\n" +
	"`weft server` and `weft agent` read the files that a Neutron installation has: `neutron.conf`, `ml2_conf.ini`, `l3_agent.ini`,\n" +
	"`dhcp_agent.ini`, `metadata_agent.ini`, as they are, old spellings included. `weft config sample` prints a file with every option.\n\n" +
	"## How files are read\n\n" +
	"The rules are oslo.config's:\n\n" +
	"- `[group]` starts a group; the names of groups may be of either case, but `[DEFAULT]` is in capitals.\n" +
	"- `name = value` or `name: value`. One pair of quotes around a value is taken off.\n" +
	"- A line that starts with a blank goes on with the value above it. An empty line ends the value.\n" +
	"- `#` and `;` start a comment in the first column only; behind a value they belong to the value.\n" +
	"- Of several files the later wins, and within a file the later line; options that may be repeated add up.\n" +
	"- `$name`, `${name}` and `$group.name` stand for another option's value, `$$` for a dollar sign.\n" +
	"- A list is separated by commas. A boolean is true, 1, on or yes; false, 0, off or no.\n\n" +
	"A value that cannot be, or two that contradict each other, stop the start with file, line, option and cure:\n\n" +
	"```\n/etc/neutron/neutron.conf:7: [DEFAULT] bind_port: 96960 is not a port; give a number from 0 to 65535\n```\n\n" +
	"An option that Weft does not know, or does not need, draws a warning and stops nothing. Passwords never appear in messages.\n" +
	"Every option below is read and checked; what acts on it is said in the page of that part.\n\n" +
	"## What is read differently\n\n" +
	"- Without `[weft] server`, an agent dials the host that `transport_url`, `rabbit_host` or `rabbit_hosts` names, port 9697: in an\n" +
	"  installation of Neutron's that is where the agents went for their work.\n" +
	"- Without `[ovs] bridge_mappings`, `external_network_bridge` is taken as the bridge of the one network in `flat_networks`.\n" +
	"- Without `agent_mode`, `enable_distributed_routing = True` means `dvr`.\n" +
	"- `auth_host`, `auth_port`, `auth_protocol` and `auth_admin_prefix` make up `auth_url`. Keystone is always asked by its v3 API.\n" +
	"- `type_drivers` names flat, vlan and vxlan unless set, and `tenant_network_types` vxlan, with all VNIs: Neutron's own defaults name\n" +
	"  types that Weft does not offer (`local`, `gre`, `geneve`).\n\n" +
	"## Options\n"
