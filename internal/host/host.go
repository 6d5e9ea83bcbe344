// Package host answers questions about the processes and files of one Linux host that no single event can: in which
// container a process runs, which package a file belongs to, what an executable's content is. It reads through an fs.FS
// rooted at the host's /, so a fixture answers as a host does; only the Hasher needs a live /proc.
//
// Package databases that are read: dpkg (with diversions and merged /usr), the status.d of distroless images, apk, pacman,
// rpm in its SQLite and ndb forms. Not read: rpm's old Berkeley DB (Packages of RHEL 8 and before), snap, flatpak, Nix, Guix.
// Files of such packages count as unpackaged.
package host
