// Package audits lists the audits. A new one is a folder here and a line in All.
package audits

import (
	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/audits/compose"
	"github.com/minewarden/minewarden/audits/consul"
	"github.com/minewarden/minewarden/audits/docker"
	"github.com/minewarden/minewarden/audits/dockerfile"
	"github.com/minewarden/minewarden/audits/exposed"
	"github.com/minewarden/minewarden/audits/firmware"
	"github.com/minewarden/minewarden/audits/gitea"
	"github.com/minewarden/minewarden/audits/kubernetes"
	"github.com/minewarden/minewarden/audits/linux"
	"github.com/minewarden/minewarden/audits/nomad"
	"github.com/minewarden/minewarden/audits/windows"
)

// A Maker makes an auditor from what it may touch.
type Maker = func(minewarden.Env) (minewarden.Auditor, error)

// Named is an auditor's folder name with its Maker.
type Named struct {
	Name string
	New  Maker
}

// All returns every auditor, in the order in which people read about them.
func All() []Named {
	return []Named{
		{"nomad", nomad.New},
		{"consul", consul.New},
		{"docker", docker.New},
		{"gitea", gitea.New},
		{"exposed", exposed.New},
		{"linux", linux.New},
		{"windows", windows.New},
		{"firmware", firmware.New},
		{"kubernetes", kubernetes.New},
		{"compose", compose.New},
		{"dockerfile", dockerfile.New},
	}
}
