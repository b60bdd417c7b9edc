package pedigree

import (
	"context"
	"fmt"
	"time"

	"github.com/palladium-guard/palladium/weights/lineage"
	"github.com/palladium-guard/palladium/weights/lineage/export"
)

// Formats returns the names of the forms that Export writes.
func Formats() []string {
	return []string{"slsa", "cyclonedx-1.6", "cyclonedx-1.7", "spdx-3.0.1"}
}

// Export writes a model's lineage in another form; by is the name and version of this program. SLSA provenance is of the
// step that made the model, the others are of the whole walk. Times are those of the statements.
func Export(ctx context.Context, o VerifyOptions, format, by string) ([]byte, error) {
	g, model, err := load(ctx, &o)
	if err != nil {
		return nil, err
	}
	t, err := Verify(ctx, o)
	if err != nil {
		return nil, err
	}
	id := g.Origin(&model)
	if id == "" {
		return nil, fmt.Errorf("export the lineage of %s: no statement in the store says how it was made: name another --store, or record its steps", o.Model)
	}
	s := g.Record(id).Statement
	when := s.Time
	for i := range t.Uses {
		if r := g.Record(t.Uses[i].Statement); r.Statement.Time.After(when) {
			when = r.Statement.Time
		}
	}
	return exportAs(format, g, t, id, s, when, by)
}

func exportAs(format string, g *lineage.Graph, t *lineage.Trace, id string, s *lineage.Statement, when time.Time, by string) ([]byte, error) {
	switch format {
	case "slsa":
		return export.SLSA(id, s)
	case "cyclonedx-1.6", "cyclonedx-1.7":
		return export.CycloneDX(g, t, format[len("cyclonedx-"):], when, by)
	case "spdx-3.0.1":
		return export.SPDX(g, t, when, "palladium "+by)
	}
	return nil, fmt.Errorf("unknown format %q: use one of %v", format, Formats())
}
