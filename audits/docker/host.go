package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	mw "github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/conftree"
	"github.com/minewarden/minewarden/internal/hostfs"
	"github.com/minewarden/minewarden/internal/verdict"
)

// host judges the daemons that run or would run, the socket, the group, and the containers' configuration on disk.
func (a *auditor) host(_ context.Context, t mw.Target) (mw.Verdict, error) {
	if t.Root == nil {
		return mw.Verdict{}, errors.New("audit docker: the host target has no files")
	}
	b := verdict.New("docker", t, a.now, rules())
	cmds, cerr := hostfs.Commands(t.Root, "docker")
	if len(cmds) == 0 {
		if _, err := fs.Stat(t.Root, "etc/docker/daemon.json"); err != nil {
			return mw.Verdict{}, cerr
		}
		cmds = []hostfs.Command{{Argv: []string{"dockerd"}, File: "etc/docker/daemon.json"}}
	}
	if cerr != nil {
		b.Unknown(ruleOpen, cerr.Error())
	}
	done := map[string]bool{}
	for i := range cmds {
		cmd := &cmds[i]
		if key := strings.Join(cmd.Argv, "\x00"); done[key] {
			continue
		} else {
			done[key] = true
		}
		d := &daemon{b: b, cmd: cmd}
		name := "/etc/docker/daemon.json"
		vs, named := cmd.Flag("config-file") // both forms: --config-file X and --config-file=X
		if named {
			name = vs[len(vs)-1]
		}
		files, err := hostfs.Configs(t.Root, cmd.Root, name, ".json")
		if err != nil && (named || !errors.Is(err, fs.ErrNotExist)) {
			b.Unknown(ruleOpen, err.Error())
		} else if err == nil && len(files) == 1 {
			if tree, perr := conftree.ParseJSON(files[0].Path, files[0].Data); perr != nil {
				b.Unknown(ruleOpen, perr.Error())
			} else {
				d.tree, d.edit = tree, files[0].Path
			}
		}
		d.judge()
		sockets(b, t.Root, d)
		a.stored(b, t.Root, d)
	}
	group(b, t.Root)
	b.Rest(mw.StatusUnknown, "the files do not tell: ask the service with docker=unix:///var/run/docker.sock")
	return b.Verdict(), nil
}

// sockets judges the mode of each socket that the daemon serves.
func sockets(b *verdict.Builder, root fs.FS, d *daemon) {
	paths := []string{"run/docker.sock"}
	vs, _ := d.flag("H", "host")
	for _, h := range append(d.tree.Get("hosts").Strings(), vs...) {
		if p, ok := strings.CutPrefix(h, "unix://"); ok && p != "/var/run/docker.sock" {
			paths = append(paths, strings.TrimPrefix(path.Clean("/"+p), "/"))
		}
	}
	for _, p := range paths {
		info, err := fs.Stat(root, p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			b.Unknown(ruleSocket, err.Error())
		case info.Mode().Perm()&0o007 != 0:
			b.Fail(verdict.Claim{Rule: ruleSocket, Subject: mw.Subject{Type: mw.SubjectFile, ID: p}, Proof: fmt.Sprintf("/%s has mode %04o", p, info.Mode().Perm()), Repair: &mw.Repair{
				Summary: "only root and the docker group may talk to the engine", Format: mw.FormatShell, Config: "chmod 0660 /" + p + "\n",
				Edits: []mw.Edit{{Path: p, Format: mw.FormatMode, Op: mw.EditSet, Value: json.RawMessage(`"0660"`)}},
			}})
		default:
			b.Pass(ruleSocket, fmt.Sprintf("/%s has mode %04o", p, info.Mode().Perm()))
		}
	}
	b.Rest(mw.StatusNotApplicable, "there is no socket: the daemon does not run, or serves none", ruleSocket)
}

func group(b *verdict.Builder, root fs.FS) {
	data, err := hostfs.ReadFile(root, "etc/group", 1<<20)
	if err != nil {
		b.Unknown(ruleGroup, err.Error())
		return
	}
	for i, l := range strings.Split(string(data), "\n") {
		f := strings.Split(l, ":")
		if len(f) != 4 || f[0] != "docker" {
			continue
		}
		if members := strings.Trim(f[3], ", \r"); members != "" {
			b.Fail(verdict.Claim{Rule: ruleGroup, Subject: mw.Subject{Type: mw.SubjectFile, ID: "etc/group", Line: i + 1, Column: 1}, Proof: fmt.Sprintf("etc/group:%d: docker has members %s", i+1, members)})
			return
		}
	}
	b.Pass(ruleGroup, "the docker group has no members in etc/group")
}

// stored reads the containers' configuration from the daemon's data folder, where it also is while nothing runs.
func (a *auditor) stored(b *verdict.Builder, root fs.FS, d *daemon) {
	data := "/var/lib/docker"
	if n := d.tree.Get("data-root"); n.Str() != "" {
		data = n.Str()
	}
	if vs, ok := d.flag("data-root", "g", "graph"); ok {
		data = vs[len(vs)-1]
	}
	dir := strings.TrimPrefix(path.Clean("/"+data), "/") + "/containers"
	es, err := fs.ReadDir(root, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		b.Unknown(rulePriv, "read "+dir+": "+err.Error())
		return
	}
	n := 0
	for _, e := range es {
		if !e.IsDir() || n >= maxContainers {
			continue
		}
		name, in, err := readStored(root, path.Join(dir, e.Name()))
		if err != nil {
			b.Unknown(rulePriv, err.Error())
			continue
		}
		n++
		a.judgeContainer(b, name, in, mw.Subject{Type: mw.SubjectContainer, ID: in.ID, Name: name})
	}
	b.Rest(mw.StatusPass, fmt.Sprintf("read %d containers below %s", n, dir), containerRules()...)
}

func readStored(root fs.FS, dir string) (string, *inspect, error) {
	var conf struct {
		ID, Name, Path string
		Args           []string
		MountPoints    map[string]struct {
			Source, Destination, Type string
			RW                        bool
		}
		Config struct {
			Image           string
			Entrypoint, Cmd []string
		}
	}
	in := &inspect{}
	for file, v := range map[string]any{"config.v2.json": &conf, "hostconfig.json": &in.HostConfig} {
		data, err := hostfs.ReadFile(root, path.Join(dir, file), hostfs.MaxFile)
		if err != nil {
			return "", nil, err
		}
		if err := json.Unmarshal(data, v); err != nil {
			return "", nil, fmt.Errorf("read %s: %w", path.Join(dir, file), err)
		}
	}
	in.ID, in.Path, in.Args = conf.ID, conf.Path, conf.Args
	in.Config.Image, in.Config.Entrypoint, in.Config.Cmd = conf.Config.Image, conf.Config.Entrypoint, conf.Config.Cmd
	for _, m := range conf.MountPoints {
		in.Mounts = append(in.Mounts, mount{m.Type, m.Source, m.Destination, m.RW})
	}
	return strings.TrimPrefix(conf.Name, "/"), in, nil
}
