// Package fitting fits the weights of the extraction score anew: it plays random worlds with a known truth, measures the
// groups that the detector forms in them, and separates those of campaigns from those of honest accounts by a logistic
// regression. DESIGN.md gives the reasons for what it holds to be so beforehand.
//
// The same options, data and binary give the same weights, whatever the number of workers.
package fitting

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"runtime"
)

// FirstSeed is the seed of the first world. Worlds of the evaluation have other seeds.
const FirstSeed = 301

// DefaultWorlds and DefaultSize are what Options that leave them out get.
const DefaultWorlds, DefaultSize = 76, 4000

// Options say which worlds to play.
type Options struct {
	Data     fs.FS     // the data folder, of which half 0 is used; nil: all text is made up
	First    uint64    // seed of the first world; 0 means FirstSeed. Seeds follow one another
	Worlds   int       // number of worlds; 0 means DefaultWorlds. At least 2, as each is judged by weights fitted on others
	Size     int       // honest accounts of a world, about; 0 means DefaultSize
	Workers  int       // worlds played at a time; 0 means one for each core. A world takes about 200 MB
	Progress io.Writer // a line for each world played; nil for none
}

func (o *Options) fill() error {
	o.First, o.Worlds, o.Size = cmp.Or(o.First, FirstSeed), cmp.Or(o.Worlds, DefaultWorlds), cmp.Or(o.Size, DefaultSize)
	o.Workers = cmp.Or(max(o.Workers, 0), runtime.GOMAXPROCS(0))
	if o.Worlds < 2 {
		return fmt.Errorf("fit on %d worlds: take at least 2, as each world is judged by weights fitted on others", o.Worlds)
	}
	if o.Size < 200 {
		return fmt.Errorf("fit on worlds of %d accounts: take at least 200, or no honest groups form", o.Size)
	}
	return nil
}
