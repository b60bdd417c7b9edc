package app

import (
	"context"
	"testing"
)

// BenchmarkSave keeps the state of 1,700 accounts, most of which is the memory of recent text.
func BenchmarkSave(b *testing.B) {
	s, err := newScan(ScanOptions{Paths: []string{small(b, 1500)}, StateDir: stateWith(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.folder.close()
	if err := s.read(context.Background()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		k, err := s.folder.save(s, s.stats.Position)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(k.Bytes)
	}
}
