package console

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/minewarden/minewarden/console/access"
)

// WhoHeader names the person on whose behalf a command runs, as sudo knows it; only the control socket heeds it.
const WhoHeader = "X-Minewarden-Who"

const maxWho = 64

// peerContext names the process at the other end of a socket that only this user, and root, can open.
func peerContext(ctx context.Context, c net.Conn) context.Context {
	id := access.Identity{Name: "somebody at the control socket", Role: access.Admin, Via: "socket"}
	if uid, ok := peer(c); ok {
		id.Name = "user " + userName(uid)
	}
	return access.With(ctx, id)
}

func peer(c net.Conn) (uid uint32, ok bool) {
	u, isUnix := c.(*net.UnixConn)
	if !isUnix {
		return 0, false
	}
	sc, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = sc.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid, ok = cred.Uid, true
		}
	})
	return uid, ok && err == nil
}

func userName(uid uint32) string {
	if u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		return u.Username
	}
	return "uid " + strconv.FormatUint(uint64(uid), 10)
}

// named takes the name that a command at the socket gives.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := r.Header.Get(WhoHeader)
		bad := len(who) > maxWho || strings.ContainsFunc(who, func(c rune) bool { return !unicode.IsPrint(c) })
		if id, ok := access.From(r.Context()); ok && id.Via == "socket" && who != "" && !bad {
			id.Name = who
			r = r.WithContext(access.With(r.Context(), id))
		}
		next.ServeHTTP(w, r)
	})
}
