//go:build !unix || solaris || aix

package journal

import "os"

// openModes is true where files have no owner-only permission and directories cannot be synced.
const openModes = true

// flock does nothing here: it is for the operator to have one gateway use a journal.
func flock(*os.File) error { return nil }
