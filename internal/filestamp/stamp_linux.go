// Package filestamp reads what a file system says of a file's state: whether it is the same file, unchanged.
package filestamp

import (
	"fmt"
	"io/fs"
	"syscall"

	"github.com/palladium-guard/palladium/weights/manifest"
)

// Of reads a file's state.
func Of(info fs.FileInfo) (manifest.Stamp, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return manifest.Stamp{}, false
	}
	return manifest.Stamp{Device: s.Dev, Inode: s.Ino, Size: s.Size, Modified: s.Mtim.Nano(), Change: s.Ctim.Nano()}, true
}

// TimesHold returns an error when the file system under dir is not known to keep times of change by this machine's own
// clock: network and user-space file systems tell whatever their server pleases. Those on which a write through a memory
// map leaves the times alone, tmpfs, or sets them later, ZFS, are not among them.
func TimesHold(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err
	}
	switch uint32(s.Type) {
	case 0xef53, // ext2, ext3, ext4
		0x58465342, // xfs
		0x9123683e, // btrfs
		0xf2f52010, // f2fs
		0xca451a4e, // bcachefs
		0x794c7630: // overlayfs
		return nil
	}
	return fmt.Errorf("file system type %#x is not one whose times are trusted", uint32(s.Type))
}
