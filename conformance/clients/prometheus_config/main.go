// Tells of configurations what Prometheus' own package makes of them: a JSON list of texts in, and one of
// {"yaml": …} or {"error": …} out. The texts are read as if they stood in the directory that is the argument.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	_ "github.com/prometheus/prometheus/discovery/consul"
	_ "github.com/prometheus/prometheus/discovery/eureka"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
	_ "github.com/prometheus/prometheus/discovery/kubernetes"
	_ "github.com/prometheus/prometheus/discovery/moby"
	_ "github.com/prometheus/prometheus/discovery/nomad"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string) error {
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		return err
	}
	told := make([]map[string]string, 0, len(texts))
	file := filepath.Join(dir, "prometheus.yml")
	for _, text := range texts {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		settings, err := config.LoadFile(file, false, promslog.NewNopLogger())
		if err != nil {
			told = append(told, map[string]string{"error": err.Error()})
			continue
		}
		told = append(told, map[string]string{"yaml": settings.String()})
	}
	return json.NewEncoder(os.Stdout).Encode(told)
}
