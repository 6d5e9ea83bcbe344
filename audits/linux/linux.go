// Package linux checks a Linux host for what lets a miner in, up to root, or back again.
package linux

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/shady"
	"github.com/minewarden/minewarden/internal/verdict"
)

//go:embed README.md
var doc string

type auditor struct {
	now     func() time.Time
	judge   *shady.Judge
	rules   []minewarden.Rule
	ruleset func(ctx context.Context, root fs.FS) (string, error) // the kernel's firewall, when root is this host
}

var _ minewarden.FileAuditor = (*auditor)(nil)

// New returns the auditor.
func New(env minewarden.Env) (minewarden.Auditor, error) {
	return &auditor{now: env.Now, judge: shady.New(), rules: rules(), ruleset: liveRuleset}, nil
}

func (a *auditor) Info() minewarden.Info {
	return minewarden.Info{Name: "linux", Title: "Linux host hardening", Doc: doc}
}

func (a *auditor) Rules() []minewarden.Rule { return a.rules }

// Claims takes systemd units and sshd configurations of a repository.
func (a *auditor) Claims(name string, head []byte) bool {
	return isUnit(name, head) || isSSHD(name, head)
}

func isUnit(name string, head []byte) bool {
	switch path.Ext(name) {
	case ".service", ".conf", ".timer", ".socket":
		return bytes.Contains(head, []byte("[Service]")) && bytes.Contains(head, []byte("Exec"))
	}
	return false
}

func isSSHD(name string, head []byte) bool {
	return path.Base(name) == "sshd_config" || strings.Contains(name, "sshd_config.d/") && bytes.IndexByte(head, '=') < 0
}

func (a *auditor) Audit(ctx context.Context, target minewarden.Target) (minewarden.Verdict, error) {
	s := &sheet{Builder: verdict.New("linux", target, a.now, a.rules), a: a}
	switch target.Kind {
	case minewarden.TargetFile:
		switch {
		case isUnit(target.Path, target.Data):
			s.unit(target.Path, target.Data)
		case isSSHD(target.Path, target.Data):
			c := &sshConfig{}
			c.text(target.Path, target.Data)
			s.ssh(c, target.Path)
		default:
			return minewarden.Verdict{}, nil
		}
		return s.Verdict(), nil
	case minewarden.TargetHost:
	default:
		return minewarden.Verdict{}, nil
	}
	s.root = target.Root
	if _, err := fs.Stat(s.root, "etc"); err != nil {
		return minewarden.Verdict{}, fmt.Errorf("look at the host: %w", err)
	}
	s.Version(s.release())
	s.accounts()
	s.sudo()
	s.sshHost()
	s.keys()
	s.files()
	s.sysctls()
	s.mounts()
	s.firewall(ctx)
	s.logs()
	s.updates()
	s.sockets()
	s.processes(ctx)
	s.units()
	if err := context.Cause(ctx); err != nil {
		return minewarden.Verdict{}, err
	}
	return s.Verdict(), nil
}

type sheet struct {
	*verdict.Builder
	a    *auditor
	root fs.FS
}

// maxFile is the most that is read of one file of the host, in bytes.
const maxFile = 4 << 20

// maxEntries bounds the entries looked at in one directory.
const maxEntries = 20_000

func (s *sheet) read(name string) ([]byte, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if st.IsDir() {
		return nil, fmt.Errorf("read %s: is a directory", name)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// word reads a one-word file such as a sysctl.
func (s *sheet) word(name string) (string, error) {
	b, err := s.read(name)
	return strings.TrimSpace(string(b)), err
}

func (s *sheet) entries(dir string) ([]fs.DirEntry, error) {
	es, err := fs.ReadDir(s.root, dir)
	if len(es) > maxEntries {
		es = es[:maxEntries]
	}
	return es, err
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func (s *sheet) release() string {
	b, err := s.read("etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

// owner returns the uid and gid of a file; ok is false where the file system does not tell.
func owner(fi fs.FileInfo) (uid, gid uint32, ok bool) {
	if st, isStat := fi.Sys().(*syscall.Stat_t); isStat {
		return st.Uid, st.Gid, true
	}
	return 0, 0, false
}

func mode(bits fs.FileMode, summary, name string) *minewarden.Repair {
	text := fmt.Sprintf("%04o", bits)
	return &minewarden.Repair{
		Summary: summary, Config: "chmod " + text + " /" + name, Format: minewarden.FormatShell,
		Edits: []minewarden.Edit{verdict.Set(name, minewarden.FormatMode, text)},
	}
}

func shell(summary, command string) *minewarden.Repair {
	return &minewarden.Repair{Summary: summary, Config: command, Format: minewarden.FormatShell}
}

func account(name string) minewarden.Subject {
	return minewarden.Subject{Type: minewarden.SubjectAccount, ID: name, Name: name}
}

// isWritable tells whether others than root may write: by the bits, or as the owner. Group bits count unless the group is root's.
func isWritable(fi fs.FileInfo) (string, bool) {
	uid, gid, known := owner(fi)
	switch {
	case fi.Mode().Perm()&0o002 != 0 && fi.Mode()&fs.ModeSticky == 0:
		return "everyone may write", true
	case fi.Mode().Perm()&0o002 != 0 && !fi.IsDir():
		return "everyone may write", true
	case known && uid != 0:
		return "it belongs to uid " + strconv.Itoa(int(uid)), true
	case fi.Mode().Perm()&0o020 != 0 && known && gid != 0:
		return "group " + strconv.Itoa(int(gid)) + " may write", true
	}
	return "", false
}
