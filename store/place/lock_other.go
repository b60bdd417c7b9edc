//go:build !unix || solaris || aix

package place

import "os"

// openModes is true where folders cannot be synced.
const openModes = true

// flock does nothing here: it is for the operator to have one process write a log.
func flock(*os.File) error { return nil }
