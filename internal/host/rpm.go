package host

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	_ "modernc.org/sqlite" // the driver
	"modernc.org/sqlite/vfs"
)

// maxHeader bounds one package's header; a kernel's with 20,000 files is 4 MB.
const maxHeader = 64 << 20

// readRpm reads the database of rpm, whichever of its forms is there.
func readRpm(root fs.FS, b *builder) error {
	add := func(blob []byte) error { return rpmFiles(blob, b.add) }
	for _, dir := range [...]string{"usr/lib/sysimage/rpm", "var/lib/rpm"} {
		if _, err := fs.Stat(root, dir+"/rpmdb.sqlite"); err == nil {
			if err := rpmSQLite(root, dir+"/rpmdb.sqlite", add); err != nil {
				return fmt.Errorf("read rpm database %s: %w", dir, err)
			}
			return nil
		}
		data, err := readAll(root, dir+"/Packages.db", maxDatabase)
		if err != nil {
			return err
		}
		if data != nil {
			if err := ndbBlobs(data, add); err != nil {
				return fmt.Errorf("read rpm database %s/Packages.db: %w", dir, err)
			}
			return nil
		}
		if _, err := fs.Stat(root, dir+"/Packages"); err == nil {
			return fmt.Errorf("rpm database %s/Packages is a Berkeley DB, which is not read: its files count as unpackaged", dir)
		}
	}
	return nil
}

// rpmSQLite calls add with the header of each package. The file is taken as it is: what rpm has in its write-ahead log
// and not yet in the file is seen when rpm has finished.
func rpmSQLite(root fs.FS, name string, add func([]byte) error) (err error) {
	driver, files, err := vfs.New(root)
	if err != nil {
		return fmt.Errorf("open through the host's root: %w", err)
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	db, err := sql.Open("sqlite", "file:"+name+"?vfs="+driver+"&mode=ro&immutable=1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.Query("SELECT blob FROM Packages WHERE length(blob) <= ?", maxHeader)
	if err != nil {
		return err
	}
	defer rows.Close()
	var blob sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&blob); err != nil {
			return err
		}
		if err := add(blob); err != nil {
			return err
		}
	}
	return rows.Err()
}

var errHeader = errors.New("not a package header")

// ndbBlobs calls add with the header of each package of an ndb file: pages of slots, each of which says where a blob is.
func ndbBlobs(data []byte, add func([]byte) error) error {
	const (
		page, slot, block = 4096, 16, 16
		fileMagic         = 'R' | 'p'<<8 | 'm'<<16 | 'P'<<24
		slotMagic         = 'S' | 'l'<<8 | 'o'<<16 | 't'<<24
		blobMagic         = 'B' | 'l'<<8 | 'b'<<16 | 'S'<<24
	)
	le := binary.LittleEndian
	if len(data) < page || le.Uint32(data) != fileMagic {
		return errors.New("not an ndb file")
	}
	pages := int64(le.Uint32(data[12:]))
	if pages*page > int64(len(data)) {
		return errors.New("slots lie outside of the file")
	}
	for at := int64(2 * slot); at < pages*page; at += slot { // the file's header takes the first two
		s := data[at : at+slot]
		number, offset := le.Uint32(s[4:]), int64(le.Uint32(s[8:]))*block
		if le.Uint32(s) != slotMagic || number == 0 {
			continue
		}
		if offset+block > int64(len(data)) || le.Uint32(data[offset:]) != blobMagic || le.Uint32(data[offset+4:]) != number {
			return fmt.Errorf("package %d: %w", number, errHeader)
		}
		size := int64(le.Uint32(data[offset+12:]))
		if size > maxHeader || offset+block+size > int64(len(data)) {
			return fmt.Errorf("package %d: header of %d bytes lies outside of the file", number, size)
		}
		if err := add(data[offset+block : offset+block+size]); err != nil {
			return fmt.Errorf("package %d: %w", number, err)
		}
	}
	return nil
}

// The tags of a header that matter here, and the types of their values.
const (
	tagName       = 1000
	tagFileModes  = 1030
	tagFileFlags  = 1037
	tagDirIndexes = 1116
	tagBaseNames  = 1117
	tagDirNames   = 1118

	typeInt16, typeInt32, typeString, typeStringArray = 3, 4, 6, 8

	fileGhost = 1 << 6 // belongs to the package but is not installed by it
	modeType  = 0o170000
	modeDir   = 0o040000
)

// header is a package's header as it lies in the database: a count of entries, a count of bytes, entries, bytes.
type header struct{ entries, store []byte }

// rpmFiles calls add with each file, but no directory, of the package whose header is blob.
func rpmFiles(blob []byte, add func(pkg, file string) error) error {
	if len(blob) < 8 {
		return errHeader
	}
	be := binary.BigEndian
	il, dl := int64(be.Uint32(blob)), int64(be.Uint32(blob[4:]))
	if 8+il*16+dl > int64(len(blob)) {
		return errHeader
	}
	h := header{blob[8 : 8+il*16], blob[8+il*16 : 8+il*16+dl]}
	names := h.strings(tagName)
	if len(names) == 0 {
		return errHeader
	}
	dirs, bases, where := h.strings(tagDirNames), h.strings(tagBaseNames), h.ints(tagDirIndexes)
	modes, flags := h.ints(tagFileModes), h.ints(tagFileFlags)
	if len(where) != len(bases) {
		return fmt.Errorf("package %s: %d files in %d directories: %w", names[0], len(bases), len(where), errHeader)
	}
	for i, base := range bases {
		if int64(where[i]) >= int64(len(dirs)) {
			return fmt.Errorf("package %s: file %q lies nowhere: %w", names[0], base, errHeader)
		}
		if i < len(modes) && modes[i]&modeType == modeDir || i < len(flags) && flags[i]&fileGhost != 0 {
			continue
		}
		if err := add("rpm:"+names[0], dirs[where[i]]+base); err != nil {
			return err
		}
	}
	return nil
}

// find returns the type, the count and the bytes from the value on; a nil slice if the tag is not there.
func (h header) find(tag uint32) (kind, count uint32, value []byte) {
	be := binary.BigEndian
	for e := h.entries; len(e) >= 16; e = e[16:] {
		if be.Uint32(e) != tag {
			continue
		}
		offset := be.Uint32(e[8:])
		if int64(offset) > int64(len(h.store)) {
			return 0, 0, nil
		}
		return be.Uint32(e[4:]), be.Uint32(e[12:]), h.store[offset:]
	}
	return 0, 0, nil
}

func (h header) strings(tag uint32) []string {
	kind, count, value := h.find(tag)
	if kind != typeString && kind != typeStringArray && kind != 9 { // 9: translated text
		return nil
	}
	var all []string
	start := 0
	for i := 0; i < len(value) && uint32(len(all)) < count; i++ {
		if value[i] == 0 {
			all = append(all, string(value[start:i]))
			start = i + 1
		}
	}
	return all
}

func (h header) ints(tag uint32) []uint32 {
	kind, count, value := h.find(tag)
	size := 0
	switch kind {
	case typeInt16:
		size = 2
	case typeInt32:
		size = 4
	default:
		return nil
	}
	var all []uint32
	for ; len(value) >= size && uint32(len(all)) < count; value = value[size:] {
		if size == 2 {
			all = append(all, uint32(binary.BigEndian.Uint16(value)))
		} else {
			all = append(all, binary.BigEndian.Uint32(value))
		}
	}
	return all
}
