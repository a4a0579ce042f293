package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/nearest"
)

// maxFile bounds a configuration file in bytes.
const maxFile = 1 << 20

// applyFile sets what the file gives.
func applyFile(c *Config, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	defer func() { _ = f.Close() }()

	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}

	// One byte more than the limit was asked for, so that a longer file shows.
	if len(text) > maxFile {
		return fmt.Errorf("configuration file %s: larger than %d bytes", name, maxFile)
	}
	return applyYAML(c, name, text)
}

// applyYAML sets what text gives, which is the content of the file called name.
func applyYAML(c *Config, name string, text []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(text))

	var root yaml.Node
	if err := d.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) { // nothing but comments
			return nil
		}
		return fmt.Errorf("%s: %w", name, err)
	}

	// A second document would be passed over without a word.
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more than one document", name)
	}

	// All that is wrong is gathered, so that one start shows every mistake.
	r := fileReader{config: c, file: name}
	r.root(resolve(root.Content[0]))
	return errors.Join(r.errs...)
}

// fileReader goes through the tree of a file and collects what is wrong with it.
type fileReader struct {
	config *Config
	file   string
	errs   []error
}

func (r *fileReader) wrong(at *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %w", r.file, at.Line, fmt.Errorf(format, args...)))
}

func (r *fileReader) root(n *yaml.Node) {
	// An empty file sets nothing.
	if isNull(n) {
		return
	}

	if n.Kind != yaml.MappingNode {
		r.wrong(n, "want sections such as %q", "cluster:")
		return
	}

	// Settings of one section stand together, so comparing with the last is enough.
	var sections []string
	for _, s := range settings {
		if section, _, ok := strings.Cut(s.key, "."); ok && (len(sections) == 0 || sections[len(sections)-1] != section) {
			sections = append(sections, section)
		}
	}
	sections = append(sections, sectionMaps, sectionExecutors)

	r.pairs(n, "section", sections, func(section string, _, body *yaml.Node) {
		switch section {
		case sectionMaps:
			r.config.Maps = readNamed(r, section, body, mapFields)
		case sectionExecutors:
			r.config.Executors = readNamed(r, section, body, executorFields)
		default:
			r.section(section, body)
		}
	})
}

func (r *fileReader) section(section string, n *yaml.Node) {
	// A section without keys is as good as none.
	if isNull(n) {
		return
	}

	if n.Kind != yaml.MappingNode {
		r.wrong(n, "%s: want keys and values", section)
		return
	}

	var names []string
	for _, s := range settings {
		if name, ok := strings.CutPrefix(s.key, section+"."); ok {
			names = append(names, name)
		}
	}

	r.pairs(n, "key", names, func(name string, at, body *yaml.Node) {
		// A key without a value leaves the setting to other sources.
		if isNull(body) {
			return
		}

		v, err := valueOf(body)
		if err == nil {
			err = settingOfKey(section+"."+name).set(r.config, v)
		}
		if err != nil {
			r.wrong(at, "%s.%s: %w", section, name, err)
		}
	})
}

// pairs calls f for each pair of a mapping whose key is known and comes for the first time.
func (r *fileReader) pairs(n *yaml.Node, what string, known []string, f func(name string, at, body *yaml.Node)) {
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, body := resolve(n.Content[i]), resolve(n.Content[i+1])
		name := key.Value
		switch {
		case seen[name]:
			// YAML's last value would win without a word.
			r.wrong(key, "%s %q is given twice", what, name)
		case key.Kind == yaml.ScalarNode && slices.Contains(known, name):
			f(name, key, body)
		default:
			if guess := nearest.Name(name, known); guess != "" {
				r.wrong(key, "unknown %s %q; did you mean %q?", what, name, guess)
			} else {
				r.wrong(key, "unknown %s %q: there are %s", what, name, strings.Join(known, ", "))
			}
		}

		seen[name] = true
	}
}

func settingOfKey(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	panic(fmt.Sprintf("config: no setting %q", key))
}

// resolve returns the node that n stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// valueOf returns a scalar, a list of scalars or a table of scalars.
func valueOf(n *yaml.Node) (value, error) {
	// Texts are taken as written, so that a zone named "no" or a version 1.10 stays what it is.
	item := func(n *yaml.Node) (string, error) {
		if n = resolve(n); n.Kind != yaml.ScalarNode || isNull(n) {
			return "", fmt.Errorf("line %d: want a text or a number", n.Line)
		}
		return n.Value, nil
	}

	switch n.Kind {
	case yaml.SequenceNode:
		v := value{list: []string{}}
		for _, c := range n.Content {
			s, err := item(c)
			if err != nil {
				return value{}, err
			}
			v.list = append(v.list, s)
		}
		return v, nil
	case yaml.MappingNode:
		v := value{table: map[string]string{}}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, err := item(n.Content[i])
			if err != nil {
				return value{}, err
			}

			if _, twice := v.table[key]; twice {
				return value{}, fmt.Errorf("%q is given twice", key)
			}
			if v.table[key], err = item(n.Content[i+1]); err != nil {
				return value{}, err
			}
		}
		return v, nil
	default:
		s, err := item(n)
		return value{text: s}, err
	}
}
