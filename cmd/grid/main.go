// Command grid is the one binary of Gridiron: it runs members and clusters, and talks to them.
package main

import (
	"context"
	"os"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/app"
)

func main() { os.Exit(run()) }

// run does what the command line says and returns the exit code.
func run() int {
	p := app.Process{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, LookupEnv: os.LookupEnv, Environ: os.Environ, Exit: os.Exit}
	return p.Run(context.Background())
}
