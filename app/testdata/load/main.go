// Load is what the container test runs, without a libc: a drill again and again where MINEWARDEN_DRILL names one (NAME:0, for the
// first process of a container has no parent), else work that is nobody's concern. It ends by itself.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/minewarden/minewarden/drills"
)

func main() {
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		drill, err := drills.Child(os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if !drill {
			time.Sleep(10 * time.Millisecond)
		}
	}
}
