//go:build !unix || solaris || aix

package app

import "os"

// openModes is true where files have no owner-only permission and directories cannot be synced.
const openModes = true

// flock does nothing here: it is for the operator to run one scan at a time on a state directory.
func flock(*os.File) error { return nil }
