//go:build !unix || solaris || aix

package stream

import "os"

// flock does nothing here: it is for the operator to have one process use a directory.
func flock(*os.File) error { return nil }
