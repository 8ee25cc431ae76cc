package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// replacement is a file that takes another's place in one step, once what it
// holds is on the disk. It is made before that is known, so that a place that
// cannot be written to is found out while nothing is lost yet. Only its owner
// may read it.
type replacement struct {
	path string
	temp *os.File
	done bool
}

// reserve is how much room a replacement makes sure of: a line with a key in it.
const reserve = 256

func newReplacement(path string) (*replacement, error) {
	info, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".postern-*") // made with mode 0600
	if err != nil {
		return nil, err
	}
	r := &replacement{path: path, temp: temp}
	if _, err := temp.Write(bytes.Repeat([]byte{'\n'}, reserve)); err != nil {
		r.discard()
		return nil, err
	}
	if err := temp.Sync(); err != nil {
		r.discard()
		return nil, err
	}
	return r, nil
}

// replace puts text in the place of the file.
func (r *replacement) replace(text []byte) error {
	if _, err := r.temp.WriteAt(text, 0); err != nil {
		return err
	}
	return r.finish(int64(len(text)))
}

// finish cuts what was written to its length, and puts it in the place of the file.
func (r *replacement) finish(length int64) error {
	if err := r.temp.Truncate(length); err != nil {
		return err
	}
	if err := r.temp.Sync(); err != nil {
		return err
	}
	if err := r.temp.Close(); err != nil {
		return err
	}
	if err := os.Rename(r.temp.Name(), r.path); err != nil {
		return err
	}
	r.done = true
	return nil
}

// discard removes what did not take its place.
func (r *replacement) discard() {
	if r.done {
		return
	}
	_ = r.temp.Close()           // it may be closed
	_ = os.Remove(r.temp.Name()) // nothing more can be done about it
}
