// Package chain walks from a service over a shell and a downloader to a program in a temporary place, all of it on loopback.
package chain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/minewarden/minewarden/drills/drill"
)

const name = "chain"

// Drill is the drill.
func Drill() drill.Drill {
	return drill.Drill{
		Name: name, Title: "a service named nomad whose shell fetches a program and runs it", Technique: []string{"T1059.004", "T1105"}, Rules: []string{"lineage/service-chain"},
		Run: run, Child: child,
	}
}

// run serves a program that does nothing, and starts a copy of this program as "nomad", which fetches it.
func run(ctx context.Context, env drill.Env) error {
	fetch, err := downloader()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen on loopback: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "/bin/true") })
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	path := filepath.Join(env.Dir, "nomad")
	err = drill.Copy(path)
	if err == nil {
		// A directory that everybody may write to is where the payload must lie; a private one within it is enough.
		dir, mkErr := os.MkdirTemp("/var/tmp", fmt.Sprintf("minewarden-drill-%d-", os.Getpid()))
		if err = mkErr; err == nil {
			err = drill.Wait(ctx, drill.Command(ctx, name, path, "nomad", fetch, "http://"+listener.Addr().String()+"/payload", filepath.Join(dir, "payload")))
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	err = errors.Join(err, server.Close())
	if serve := <-done; !errors.Is(serve, http.ErrServerClosed) {
		err = errors.Join(err, serve)
	}
	if err != nil {
		return fmt.Errorf("chain: %w", err)
	}
	return nil
}

func downloader() (string, error) {
	for _, d := range []string{"curl -sSo", "wget -qO"} {
		if _, err := exec.LookPath(strings.Fields(d)[0]); err == nil {
			return d, nil
		}
	}
	return "", errors.New("the drill needs curl or wget: install one of them")
}

func child(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("chain: %d arguments, want 3", len(args))
	}
	script := fmt.Sprintf("%s '%s' %s && chmod +x '%s' && '%s'; sleep 1", args[0], args[2], args[1], args[2], args[2])
	return exec.Command("/bin/sh", "-c", script).Run()
}
