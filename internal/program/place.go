package program

import "strings"

// A Place is what is special about where a file is.
type Place uint8

// The places.
const (
	Writable     Place = 1 << iota // in a directory that everybody may write to
	Hidden                         // below a directory, or itself, with a name that ls does not show
	SystemHidden                   // such a name within the system's own directories, where no honest program has one
	Memory                         // no file at all
)

// At returns what is special about the place of an executable or script.
func At(path string) Place {
	if path == "" {
		return 0
	}
	if strings.HasPrefix(path, "memfd:") || strings.HasPrefix(path, "/memfd:") {
		return Memory
	}
	if path[0] != '/' {
		return 0
	}
	var pl Place
	if InWritable(path) {
		pl |= Writable
	}
	if i := strings.Index(path, "/."); i >= 0 && hiddenName(path[i+1:]) {
		pl |= Hidden
		if system(path) {
			pl |= SystemHidden
		}
	}
	return pl
}

// InWritable says that path is below a directory that everybody may write to.
func InWritable(path string) bool {
	return strings.HasPrefix(path, "/tmp/") || strings.HasPrefix(path, "/var/tmp/") || strings.HasPrefix(path, "/dev/shm/") ||
		strings.HasPrefix(path, "/run/lock/") || strings.HasPrefix(path, "/var/lock/") || strings.HasPrefix(path, "/dev/mqueue/") ||
		strings.HasPrefix(path, "/var/spool/samba/") || strings.HasPrefix(path, "/var/crash/")
}

// hiddenName leaves out "./" and "../", which hide nothing.
func hiddenName(rest string) bool {
	return len(rest) > 1 && rest[1] != '/' && !strings.HasPrefix(rest, "../") && rest != ".."
}

// system says that path is in a directory that packages own. /usr/local and /opt are the administrator's.
func system(path string) bool {
	for _, dir := range [...]string{"/usr/", "/bin/", "/sbin/", "/lib", "/boot/", "/etc/", "/dev/", "/var/run/", "/run/"} {
		if strings.HasPrefix(path, dir) {
			return !strings.HasPrefix(path, "/usr/local/") && !strings.HasPrefix(path, "/usr/src/") && !strings.Contains(path, "/.build-id/") &&
				!strings.HasPrefix(path, "/run/user/") && !strings.HasPrefix(path, "/dev/shm/")
		}
	}
	return false
}
