// Command secretfs mounts secrets as files. This package is the program's
// surface: one file per subcommand, which parses flags, calls the package that
// does the work and prints what it says. See MANUAL.md.
package main

import "os"

// roles are what the program starts itself as; nobody types them. They are
// chosen before any command is set up, which a worker has neither time nor
// memory to spare for.
var roles = map[string]func(args []string) int{
	"worker": runWorker,
	"holder": runHolder,
	"helper": runHelper,
	"become": runBecome,
}

func main() {
	if len(os.Args) > 1 {
		if run, ok := roles[os.Args[1]]; ok {
			os.Exit(run(os.Args[2:]))
		}
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}
