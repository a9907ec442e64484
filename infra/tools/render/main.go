// Renders a Helm chart without Helm: text/template with the functions that the chart of reembed
// uses. The output of Helm is authoritative. Without Helm, this program keeps infra/manifests/ up
// to date.
//
// 	render CHART VALUES.yaml RELEASE NAMESPACE > manifests.yaml
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type values = map[string]interface{}

// Files is the object .Files of a template.
type Files struct{ root string }

func (f Files) Get(name string) string {
	content, _ := os.ReadFile(filepath.Join(f.root, name))
	return string(content)
}

func (f Files) Glob(pattern string) map[string]string {
	found := map[string]string{}
	names, _ := filepath.Glob(filepath.Join(f.root, pattern))
	for _, name := range names {
		relative, _ := filepath.Rel(f.root, name)
		found[relative] = f.Get(relative)
	}
	return found
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func read(path string) values {
	content, err := os.ReadFile(path)
	check(err)
	var parsed values
	check(yaml.UnmarshalStrict(content, &parsed))
	return parsed
}

// merge overrides the values of base with those of over; null removes a key, as in Helm.
func merge(base, over values) values {
	for key, value := range over {
		below, isMap := base[key].(values)
		above, isMapToo := value.(values)
		switch {
		case value == nil:
			delete(base, key)
		case isMap && isMapToo:
			base[key] = merge(below, above)
		default:
			base[key] = value
		}
	}
	return base
}

func main() {
	if len(os.Args) != 5 {
		check(fmt.Errorf("usage: render CHART VALUES.yaml RELEASE NAMESPACE"))
	}
	chart, release, namespace := os.Args[1], os.Args[3], os.Args[4]
	about := read(filepath.Join(chart, "Chart.yaml"))
	context := values{
		"Values":       merge(read(filepath.Join(chart, "values.yaml")), read(os.Args[2])),
		"Chart":        values{"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
		"Release":      values{"Name": release, "Namespace": namespace, "Service": "Helm"},
		"Files":        Files{chart},
		"Template":     values{"BasePath": about["name"].(string) + "/templates"},
	}

	root := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	functions["toYaml"] = func(v interface{}) string {
		text, err := yaml.Marshal(v)
		check(err)
		return strings.TrimSuffix(string(text), "\n")
	}
	functions["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	functions["tpl"] = func(text string, data interface{}) (string, error) {
		parsed, err := template.Must(root.Clone()).New("tpl").Parse(text)
		if err != nil {
			return "", err
		}
		var out bytes.Buffer
		err = parsed.Execute(&out, data)
		return out.String(), err
	}
	functions["required"] = func(message string, v interface{}) (interface{}, error) {
		if v == nil || v == "" {
			return nil, fmt.Errorf("%s", message)
		}
		return v, nil
	}
	root.Funcs(functions)

	names, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	check(err)
	sort.Strings(names)
	for _, name := range names {
		content, err := os.ReadFile(name)
		check(err)
		_, err = root.New(filepath.Base(name)).Parse(string(content))
		check(err)
	}
	for _, name := range names {
		base := filepath.Base(name)
		if strings.HasPrefix(base, "_") || !strings.HasSuffix(base, ".yaml") {
			continue
		}
		var out bytes.Buffer
		check(root.ExecuteTemplate(&out, base, context))
		if strings.TrimSpace(strings.ReplaceAll(out.String(), "---", "")) == "" {
			continue
		}
		// Helm prints "<no value>" as nothing.
		text := strings.ReplaceAll(strings.Trim(out.String(), "\n"), "<no value>", "")
		fmt.Printf("---\n# Source: %s/templates/%s\n%s\n", about["name"], base, strings.TrimPrefix(text, "---\n"))
	}
}
