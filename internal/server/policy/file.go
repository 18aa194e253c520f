package policy

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// File is an operator's file of rules: its name, as it is to appear in messages, and its text.
type File struct {
	Name string
	Text []byte
}

// ReadFiles reads the policy file, which may be absent, and every file in dirs, sorted by name; absent directories count
// as empty. Later files win. In place of a policy.yaml that is absent a policy.json is taken, the default up to Victoria.
func ReadFiles(file string, dirs []string) ([]File, error) {
	if dir, base := filepath.Split(file); base == "policy.yaml" && !exists(file) && exists(dir+"policy.json") {
		file = dir + "policy.json"
	}
	names := []string{file}
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read policy directory: %w", err)
		}
		for _, e := range entries {
			// oslo.policy skips directories and hidden files.
			if e.Type().IsRegular() && e.Name()[0] != '.' {
				names = append(names, filepath.Join(d, e.Name()))
			}
		}
	}
	var out []File
	for i, n := range names {
		text, err := os.ReadFile(n)
		if i == 0 && (n == "" || errors.Is(err, os.ErrNotExist)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read policy: %w", err)
		}
		out = append(out, File{Name: n, Text: text})
	}
	return out, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// override is a rule of a file.
type override struct {
	name  string
	check check
	where string // file:line
}

// parseFile reads YAML, of which JSON is a part: a mapping of rules' names to text or to lists in the old syntax.
func parseFile(f File) ([]override, error) {
	if len(bytes.TrimSpace(f.Text)) == 0 {
		return nil, nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(f.Text, &doc); err != nil {
		return nil, fmt.Errorf("%s: neither YAML nor JSON: %w", f.Name, err)
	}
	if doc.Kind == 0 {
		return nil, nil // only comments
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: the file is no mapping of names to rules; write lines as \"get_port\": \"rule:admin_or_owner\"", f.Name, root.Line)
	}
	var out []override
	var errs []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, val := root.Content[i], root.Content[i+1]
		c, err := parseNode(val)
		where := fmt.Sprintf("%s:%d", f.Name, key.Line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", where, key.Value, err))
			continue
		}
		out = slices.DeleteFunc(out, func(o override) bool { return o.name == key.Value })
		out = append(out, override{name: key.Value, check: c, where: where})
	}
	return out, errors.Join(errs...)
}

func parseNode(n *yaml.Node) (check, error) {
	switch {
	case n.Kind == yaml.AliasNode:
		return parseNode(n.Alias)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return parse(n.Value)
	case n.Kind == yaml.SequenceNode:
		var items []any
		if err := n.Decode(&items); err != nil {
			return nil, fmt.Errorf("read the list of checks: %w", err)
		}
		return parseList(items)
	}
	return nil, errors.New(`the rule is neither text nor a list; put it in quotes: "@" for everybody, "!" for nobody`)
}
