// Command composeconfig prints a Compose file as Docker Compose sees it: it is Compose's own loader, so that the schema,
// the interpolation, the profiles and the references between services are checked without a Docker engine.
//
// Usage: composeconfig FILE[,FILE...] ENV_FILE [PROFILE...]
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: composeconfig FILE[,FILE...] ENV_FILE [PROFILE...]")
		os.Exit(2)
	}
	printed, err := load(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(printed)
}

// load returns the project as JSON. It knows the variables of envFile and none of this process's environment.
func load(files, envFile string, profiles []string) ([]byte, error) {
	options, err := cli.NewProjectOptions(
		strings.Split(files, ","),
		cli.WithEnvFiles(envFile),
		cli.WithDotEnv,
		cli.WithProfiles(profiles),
	)
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	return project.MarshalJSON()
}
