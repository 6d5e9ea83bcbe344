package alerts

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// file appends one JSON object a line; it is opened for each, so that it may be rotated.
type file struct {
	Output
	version string
}

func (f *file) send(_ context.Context, a *Alert) (err error) {
	body, err := Encode(a, f.Format, f.version)
	if err != nil {
		return err
	}
	w, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	end, err := w.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if _, err := w.Write(append(body, '\n')); err != nil {
		return errors.Join(fmt.Errorf("append: %w", err), w.Truncate(end)) // a full disk leaves no half line
	}
	return w.Sync()
}
