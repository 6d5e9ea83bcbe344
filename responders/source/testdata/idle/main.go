// Idle is what the containers of the tests run: nothing, until it is told to end.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	if len(os.Args) > 1 {
		if err := os.WriteFile(os.Args[1], []byte("written by the container\n"), 0o600); err != nil {
			panic(err)
		}
	}
	<-told
}
