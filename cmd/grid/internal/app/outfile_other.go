//go:build !unix

package app

import (
	"errors"
	"io/fs"
	"os"
)

func duplicate(_ int, name string) (*os.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}

// keepOwner does nothing: files of this system have no owners that a mode speaks of.
func keepOwner(*os.File, fs.FileInfo) {}
