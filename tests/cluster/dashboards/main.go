// Reads dashboards strictly, by types that are generated from Grafana's own schemas: a field that
// Grafana does not know, or a value that it does not take, is said and makes the exit code 1.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	code := 0
	for _, name := range os.Args[1:] {
		if err := check(name); err != nil {
			fmt.Printf("%s: %s\n", name, err)
			code = 1
		}
	}
	os.Exit(code)
}

func check(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict(data); !empty(err) {
		return err
	}
	return board.Validate()
}

// empty tells an error that holds no errors, which is how the SDK says that all is well.
func empty(err error) bool {
	var faults cog.BuildErrors
	return err == nil || errors.As(err, &faults) && len(faults) == 0
}
