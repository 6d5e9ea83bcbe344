package gate

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/posture/repair"
)

const moreCompose = `services:
  a: {image: x, pid: host, ipc: host, network_mode: host, cap_add: [SYS_ADMIN, CHOWN]}
  b:
    image: docker:27-dind
    # keeps its comment
    security_opt: [seccomp=unconfined]
    devices:
      - /dev/mem:/dev/mem
    environment:
      DOCKER_TLS_CERTDIR: ""
      GITEA__security__DISABLE_GIT_HOOKS: "false"
    volumes:
      - /etc:/host
      - /usr/share:/s
    ports:
      - {target: 8500, published: 8500}
`

const morePods = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  hostNetwork: true
  hostIPC: true
  containers:
    - name: a
      image: alpine
      securityContext:
        allowPrivilegeEscalation: true
        capabilities:
          add:
            - SYS_ADMIN
            - CHOWN # needed
      volumeMounts:
        - {name: v, mountPath: /x}
  volumes:
    - name: v
      hostPath: {path: /opt/data}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
readOnlyPort: 10255
authentication:
  anonymous:
    enabled: true
authorization:
  mode: AlwaysAllow
`

// TestRepairedFilesPass applies every edit that the checks carry, and runs the same checks on the result.
func TestRepairedFilesPass(t *testing.T) {
	for name, text := range map[string]string{"a.yml": badCompose, "b.yml": moreCompose, "c.yaml": badPods, "d.yaml": morePods} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, name, text)
			var edits []minewarden.Edit
			var mended, byHand []string
			for _, l := range run(t, Options{Paths: []string{dir}}).Findings() {
				if l.Check.Repair != nil && len(l.Check.Repair.Edits) > 0 {
					edits = append(edits, l.Check.Repair.Edits...)
					mended = append(mended, l.Check.Rule)
				} else {
					byHand = append(byHand, l.Check.Rule)
				}
			}
			if len(edits) == 0 {
				t.Fatal("nothing to repair")
			}
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			out, err := repair.Apply(data, edits)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, name, string(out))
			r := run(t, Options{Paths: []string{dir}})
			if len(r.Errors) > 0 {
				t.Fatalf("%v\n%s", r.Errors, out)
			}
			for _, l := range r.Findings() {
				if slices.Contains(mended, l.Check.Rule) && !slices.Contains(byHand, l.Check.Rule) {
					t.Errorf("%s still fails: %s\n%s", l.Check.Rule, l.Check.Proof, out)
				}
			}
		})
	}
}
