package credentials

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden"
	"github.com/minewarden/minewarden/internal/proc"
	"github.com/minewarden/minewarden/responders/internal/accounts"
	"github.com/minewarden/minewarden/responders/internal/edit"
)

// A spot is where programs keep what lets them in elsewhere.
type spot struct{ path, what, how string }

// homeSpots are below a home. A name that ends in * stands for all that begin so.
var homeSpots = [...]spot{
	{".aws/credentials", "AWS keys", "make new access keys in IAM, delete the old, look at CloudTrail for their use"},
	{".aws/sso/cache/*", "AWS SSO tokens", "end the sessions in IAM Identity Center"},
	{".aws/cli/cache/*", "AWS session tokens", "revoke the role's sessions in IAM"},
	{".kube/config", "Kubernetes access", "delete the service account's token or issue a new client certificate; a certificate cannot be revoked: remove its user's role bindings"},
	{".docker/config.json", "registry logins", "docker logout, then change the registry's passwords or tokens; look for images that were pushed"},
	{".config/containers/auth.json", "registry logins", "change the registry's passwords or tokens; look for images that were pushed"},
	{".netrc", "passwords of hosts", "change each password on its host"},
	{".git-credentials", "Git passwords and tokens", "revoke the tokens on the Git server; look for pushes and new deploy keys"},
	{".config/git/credentials", "Git passwords and tokens", "revoke the tokens on the Git server; look for pushes and new deploy keys"},
	{".config/gh/hosts.yml", "GitHub token", "revoke it in the settings of the account"},
	{".config/glab-cli/config.yml", "GitLab token", "revoke it in the settings of the account"},
	{".config/gcloud/credentials.db", "Google Cloud login", "gcloud auth revoke, and end the account's sessions"},
	{".config/gcloud/access_tokens.db", "Google Cloud tokens", "gcloud auth revoke"},
	{".config/gcloud/application_default_credentials.json", "Google Cloud application login", "gcloud auth application-default revoke; for a service account: make a new key, delete the old"},
	{".azure/msal_token_cache.json", "Azure tokens", "az logout, and revoke the account's sessions in Entra ID"},
	{".azure/accessTokens.json", "Azure tokens", "az logout, and revoke the account's sessions in Entra ID"},
	{".azure/service_principal_entries.json", "Azure service principal", "az ad sp credential reset"},
	{".oci/config", "Oracle Cloud key", "delete the API key, add a new one"},
	{".config/doctl/config.yaml", "DigitalOcean token", "revoke it, make a new one"},
	{".config/hcloud/cli.toml", "Hetzner Cloud token", "revoke it, make a new one"},
	{".vault-token", "Vault token", "vault token revoke, and look at Vault's audit log for what it read"},
	{".terraform.d/credentials.tfrc.json", "Terraform token", "revoke it, make a new one"},
	{".npmrc", "npm token", "npm token revoke; look for versions that were published"},
	{".yarnrc.yml", "npm token", "npm token revoke; look for versions that were published"},
	{".pypirc", "PyPI token", "revoke it, make a new one; look for releases that were uploaded"},
	{".cargo/credentials.toml", "crates.io token", "revoke it, make a new one; look for versions that were published"},
	{".gem/credentials", "RubyGems key", "revoke it, make a new one; look for gems that were pushed"},
	{".m2/settings.xml", "Maven passwords", "change them on the repository's server"},
	{".gradle/gradle.properties", "Gradle passwords", "change them on the repository's server"},
	{".composer/auth.json", "Composer tokens", "revoke them, make new ones"},
	{".pgpass", "PostgreSQL passwords", "ALTER ROLE … PASSWORD on each server"},
	{".my.cnf", "MySQL password", "ALTER USER … IDENTIFIED BY on the server"},
	{".s3cfg", "S3 keys", "make new keys, delete the old"},
	{".boto", "cloud storage keys", "make new keys, delete the old"},
	{".config/rclone/rclone.conf", "storage logins", "change each; rclone's own obscuring hides nothing"},
	{".ssh/id_*", "SSH key", "make a new key, and remove the old from authorized_keys of every host that knows it; a passphrase only delays"},
	{".gnupg/private-keys-v1.d/*", "OpenPGP key", "revoke it and publish that, unless it has a strong passphrase"},
	{".config/Bitwarden CLI/data.json", "password vault", "change the main password, then what is in it"},
	{".wallet*", "wallet", "move what it holds to a new one"},
}

// systemSpots are the host's own.
var systemSpots = [...]spot{
	{"/etc/shadow", "hashes of passwords", "change the passwords of all accounts that have one"},
	{"/etc/kubernetes/admin.conf", "cluster administrator", "renew the cluster's authority and all its certificates: kubeadm certs renew all does not revoke this one"},
	{"/etc/kubernetes/super-admin.conf", "cluster administrator", "renew the cluster's authority and all its certificates"},
	{"/etc/kubernetes/kubelet.conf", "node's access to the cluster", "delete the node, and join it again"},
	{"/var/lib/kubelet/pki/kubelet-client-current.pem", "node's access to the cluster", "delete the node, and join it again"},
	{"/run/secrets/kubernetes.io/serviceaccount/token", "pod's service account", "delete the pod, and look at what its role may do"},
	{"/etc/rancher/k3s/k3s.yaml", "cluster administrator", "k3s certificate rotate-ca"},
	{"/var/lib/rancher/k3s/server/node-token", "cluster's join token", "k3s token rotate"},
	{"/run/secrets/*", "secret of a container", "make a new version of the secret, and change what it opens"},
	{"/etc/ssh/ssh_host_*", "host's SSH key", "rm /etc/ssh/ssh_host_*, ssh-keygen -A, and tell who knows the host"},
	{"/etc/ssl/private/*", "TLS key", "issue a new certificate with a new key, revoke the old"},
	{"/etc/krb5.keytab", "Kerberos keys of the host", "change the principals' keys on the KDC"},
	{"/etc/wireguard/*", "WireGuard key", "make a new key pair, and tell the peers"},
	{"/etc/mysql/debian.cnf", "MySQL password", "change the password of debian-sys-maint"},
	{"/etc/nomad.d/*", "Nomad configuration with tokens and gossip key", "nomad operator gossip keyring, new tokens"},
	{"/etc/consul.d/*", "Consul configuration with tokens and gossip key", "consul keyring, new tokens"},
	{"/etc/vault.d/*", "Vault configuration", "rotate what its seal and storage use"},
	{"/etc/gitea/app.ini", "Gitea's secrets and database password", "change the database password, INTERNAL_TOKEN, SECRET_KEY and JWT_SECRET"},
	{"/var/lib/jenkins/secrets/master.key", "key of all Jenkins credentials", "change every credential that Jenkins holds"},
	{"/var/lib/jenkins/credentials.xml", "Jenkins credentials", "change every credential that Jenkins holds"},
	{"/var/lib/docker/swarm/certificates/swarm-node.key", "node's key of the swarm", "docker swarm ca --rotate, docker swarm join-token --rotate"},
	{"/var/lib/cloud/instance/user-data.txt", "what the cloud set the machine up with", "change the secrets in it"},
}

var secretName = regexp.MustCompile(`(?i)(token|secret|passw|passwd|_pwd$|api_?key|access_?key|private_?key|credential|_auth$|database_url|_dsn$|connection_string|kubeconfig)`)

const (
	maxListed  = 256
	maxEnvVars = 64 // of one process
)

// rotate lists what the lineage could read. It is one action, which changes nothing.
func (p *planner) rotate() {
	var list, refused []string
	add := func(s string) {
		if len(list) < maxListed && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	uids := slices.Clone(p.facts.uids)
	if p.facts.unknown {
		uids = []uint32{0}
	}
	if slices.Contains(uids, 0) {
		uids = []uint32{0} // reads all that others could
	}
	slices.Sort(uids)
	for _, uid := range uids {
		bad := p.readable(p.root, p.all, uid, "", add)
		refused = append(refused, bad...)
	}
	for _, x := range p.facts.processes {
		p.ofProcess(x, add)
	}
	if len(list) == 0 && len(refused) == 0 {
		return
	}
	target := minewarden.Subject{Type: minewarden.SubjectHost, ID: "credentials that the lineage could read"}
	if p.facts.unknown {
		refused = append(refused, "whose rights a member had is not known: what root could read is listed")
	}
	p.add(minewarden.Action{
		Op: OpRotate, Target: target, Summary: fmt.Sprintf("rotate %d credentials that the lineage could read, by hand", len(list)), Blast: list, Refused: refused,
	}, change{List: list}, "")
}

// readable adds what uid could open below root. It looks at the bits and owners of files and of the directories above them;
// lists of access are not looked at. It returns what could not be looked at.
func (p *planner) readable(root edit.Root, all []accounts.Account, uid uint32, where string, add func(string)) (refused []string) {
	gids := groups(all, uid)
	look := func(s spot, path string) {
		names := []string{path}
		if head, _, ok := strings.Cut(path, "*"); ok {
			dir, prefix := filepath.Split(head)
			dir = strings.TrimSuffix(dir, "/")
			found, err := root.Names(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				refused = append(refused, fmt.Sprintf("%s%q (%s) was not looked at, or not all of it: %v", where, path, s.what, err))
			}
			names = nil
			slices.Sort(found)
			for _, n := range found {
				if strings.HasPrefix(n, prefix) && !strings.HasSuffix(n, ".pub") {
					names = append(names, dir+"/"+n)
				}
			}
		}
		for _, name := range names {
			st, ok, err := open(root, name, uid, gids)
			if errors.Is(err, edit.ErrRefused) {
				refused = append(refused, fmt.Sprintf("%s%q (%s) is behind a symbolic link: look yourself", where, name, s.what))
			} else if err == nil && ok {
				add(fmt.Sprintf("%s%q, %s (mode %04o, owner %d:%d): %s", where, name, s.what, st.Mode&0o7777, st.Uid, st.Gid, s.how))
			}
		}
	}
	for _, s := range systemSpots {
		look(s, s.path)
	}
	homes := map[string]bool{}
	for i := range all {
		h := filepath.Clean(all[i].Home)
		if !filepath.IsAbs(h) || h == "/" || homes[h] || len(homes) >= maxListed {
			continue
		}
		homes[h] = true
		if st, err := root.Stat(h); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		for _, s := range homeSpots {
			look(s, h+"/"+s.path)
		}
	}
	return refused
}

func groups(all []accounts.Account, uid uint32) []uint32 {
	for i := range all {
		if all[i].UID == uid {
			return all[i].Groups
		}
	}
	return nil
}

// open reports whether uid could open a regular file for reading.
func open(root edit.Root, path string, uid uint32, gids []uint32) (unix.Stat_t, bool, error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		st, err := root.Stat(dir)
		if err != nil {
			return st, false, err
		}
		if !may(&st, uid, gids, 1) {
			return st, false, nil
		}
		if dir == "/" {
			break
		}
	}
	st, err := root.Stat(path)
	if err != nil {
		return st, false, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return st, false, edit.ErrRefused
	}
	return st, st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size > 0 && may(&st, uid, gids, 4), nil
}

// may reports whether the bit (4 read, 1 search) is set for uid: the owner's bits count for the owner alone, then the group's.
func may(st *unix.Stat_t, uid uint32, gids []uint32, bit uint32) bool {
	switch {
	case uid == 0:
		return true
	case st.Uid == uid:
		return st.Mode>>6&bit != 0
	case slices.Contains(gids, st.Gid):
		return st.Mode>>3&bit != 0
	}
	return st.Mode&bit != 0
}

// ofProcess adds the names of variables that sound secret, and of a process in a container what it could read there.
func (p *planner) ofProcess(x process, add func(string)) {
	h, err := proc.Open(x.pid, x.start)
	if err != nil {
		return
	}
	defer func() { _ = h.Close() }() // held only so that the pid stays the process's
	dir := "/proc/" + strconv.Itoa(int(x.pid))
	if b, err := proc.ReadSmall(dir + "/environ"); err == nil {
		for _, name := range secretNames(string(b)) {
			add(fmt.Sprintf("variable %s of pid %d %q: change what it opens", name, x.pid, printable(x.name)))
		}
	}
	if x.container == "" || p.root.Dir != "/" {
		return
	}
	inner := edit.Root{Dir: dir + "/root"}
	all, err := accounts.Read(inner)
	if errors.Is(err, fs.ErrNotExist) || len(all) == 0 {
		all = []accounts.Account{{Name: "root", Home: "/root"}}
	}
	for _, bad := range p.readable(inner, all, x.uid, fmt.Sprintf("container %.12s: ", x.container), add) {
		add(bad)
	}
}

// secretNames returns the names of variables that sound secret. Values are dropped here and go nowhere.
func secretNames(environ string) []string {
	var out []string
	for v := range strings.SplitSeq(environ, "\x00") {
		name, value, ok := strings.Cut(v, "=")
		if ok && value != "" && len(name) <= 128 && secretName.MatchString(name) && len(out) < maxEnvVars && !slices.Contains(out, printable(name)) {
			out = append(out, printable(name))
		}
	}
	return out
}
