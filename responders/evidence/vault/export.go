package vault

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Export writes a collection as a tar archive: its parts, the manifest, its signature, the chain of custody. Unpacked, it verifies
// as the collection does.
func Export(ctx context.Context, dir string, w io.Writer) error {
	m, _, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	names := []string{ManifestFile, SignatureFile, CustodyFile}
	for i := range m.Parts {
		names = append(names, m.Parts[i].File)
	}
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: m.ID + "/", Mode: 0o700, ModTime: m.Done}); err != nil {
		return fmt.Errorf("export evidence %s: %w", m.ID, err)
	}
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n != filepath.Base(n) {
			return fmt.Errorf("export evidence %s: part %q is outside of it", m.ID, n)
		}
		if err := addFile(t, filepath.Join(dir, n), m.ID+"/"+n, m.Done); err != nil {
			return fmt.Errorf("export evidence %s: %s: %w", m.ID, n, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("export evidence %s: %w", m.ID, err)
	}
	return nil
}

func addFile(t *tar.Writer, path, name string, when time.Time) error {
	f, err := openPart(path)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil {
		err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o400, Size: fi.Size(), ModTime: when})
	}
	if err == nil {
		_, err = io.CopyN(t, f, fi.Size())
	}
	return errors.Join(err, f.Close())
}

// Expire removes the parts of a collection, and says so in its chain of custody. Manifest, signature and chain stay.
func (v Vault) Expire(dir, why string) error {
	m, _, err := ReadManifest(dir)
	if err != nil {
		return err
	}
	if err := v.Note(dir, "minewarden", Expired, why); err != nil {
		return err
	}
	for i := range m.Parts {
		n := m.Parts[i].File
		if n != filepath.Base(n) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("expire evidence %s: %w", m.ID, err)
		}
	}
	return syncDir(dir)
}
