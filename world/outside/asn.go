package outside

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// Datacenters returns whether an autonomous system belongs to a hosting company, after X4BNet's list. Lines hold a
// number, with AS before it or not; what follows a '#' is a remark.
func Datacenters(fsys fs.FS) (func(asn uint32) bool, error) {
	known := map[uint32]bool{}
	err := unzip(fsys, "reference/x4b_datacenter_asn.txt.gz", func(r io.Reader) error {
		s := bufio.NewScanner(r)
		for s.Scan() {
			line, _, _ := strings.Cut(s.Text(), "#")
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			n, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(fields[0]), "AS"), 10, 32)
			if err != nil {
				return fmt.Errorf("parse the number of an autonomous system: %w", err)
			}
			known[uint32(n)] = true
		}
		return s.Err()
	})
	return func(asn uint32) bool { return known[asn] }, err
}
