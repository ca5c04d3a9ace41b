// Command dockerfilelint prints what BuildKit's own linter finds in a Dockerfile, as `docker build --check` would, without
// a Docker engine or an image registry.
//
// Usage: dockerfilelint FILE TARGET [NAME=VALUE...]
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/opencontainers/go-digest"
)

// noRegistry answers for every base image: what is in one is not the linter's business.
type noRegistry struct{}

func (noRegistry) ResolveImageConfig(
	_ context.Context, ref string, _ sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	config := []byte(`{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/local/bin:/usr/bin:/bin"]}}`)
	return ref, digest.FromBytes(config), config, nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: dockerfilelint FILE TARGET [NAME=VALUE...]")
		os.Exit(2)
	}
	found, err := lint(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, line := range found {
		fmt.Println(line)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

// lint returns one line a warning.
func lint(file, target string, arguments []string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, argument := range arguments {
		name, value, _ := strings.Cut(argument, "=")
		values[name] = value
	}
	source := llb.NewSourceMap(nil, file, "Dockerfile", text)
	source.Definition = &llb.Definition{} // the linter asks for it; only a build would fill it
	results, err := dockerfile2llb.DockerfileLint(context.Background(), text, dockerfile2llb.ConvertOpt{
		Config:       dockerui.Config{Target: target, BuildArgs: values},
		SourceMap:    source,
		MetaResolver: noRegistry{},
	})
	if err != nil {
		return nil, err
	}
	if results.Error != nil {
		return nil, fmt.Errorf("%s: %s", file, results.Error.Message)
	}
	var found []string
	for _, warning := range results.Warnings {
		line := 0
		if where := warning.Location; where != nil && len(where.Ranges) > 0 {
			line = int(where.Ranges[0].Start.Line)
		}
		found = append(found, fmt.Sprintf("%s:%d: %s: %s", file, line, warning.RuleName, warning.Detail))
	}
	return found, nil
}
