package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var errDamaged = errors.New("the file is damaged")

// acquire takes the lock that says whose store it is. The kernel gives it back however the holder dies.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		who := ""
		if b := make([]byte, 16); errors.Is(err, syscall.EWOULDBLOCK) {
			if n, rerr := f.ReadAt(b, 0); n > 0 || rerr == nil {
				who = fmt.Sprintf(" (pid %s)", b[:n])
			}
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("%w%s: stop it, or give this one another --data", err, who), f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprint(f, os.Getpid())
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) { // the pid is only for the message to others
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// create makes the file with its final mode, for SQLite would let others read it.
func create(path string) (made bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		fi, err := os.Stat(path)
		return err == nil && fi.Size() == 0, err
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

func damaged(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	var e *sqlitedriver.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// moveAside keeps a damaged file, with its log, under a new name.
func moveAside(path string) (string, error) {
	to := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("keep damaged store aside: %w", err)
		}
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("keep damaged store aside: %w", err)
	}
	return to, errors.Join(dir.Sync(), dir.Close())
}

// explain puts what SQLite calls an errno into words that say what to do.
func explain(err error) error {
	var e *sqlitedriver.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: make room on the file system: %w", err, syscall.ENOSPC)
	}
	return err
}

// rollback is for defer: after a commit it does nothing, and after an error there is nothing better to say.
func rollback(tx *sql.Tx) { _ = tx.Rollback() }
