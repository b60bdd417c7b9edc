package block

import (
	"fmt"
	"testing"

	"github.com/palladium-guard/palladium"
)

// One account's traits add up within a family to its cap, and a program's to theirs.
func TestWeightsAreCapped(t *testing.T) {
	m := Model{Gain: map[uint32]float32{}, Rate: map[uint32]float32{}}
	for k := range m.major {
		m.major[k] = palladium.NoToken
	}
	var s Scorable
	for i, k := range []palladium.Kind{palladium.KindPayment, palladium.KindDevice, palladium.KindSystem, palladium.KindTools, palladium.KindParams, palladium.KindClient} {
		m.Gain[uint32(i)], m.Rate[uint32(i)] = 9, 1
		s.Tokens, s.Kinds = append(s.Tokens, uint32(i)), append(s.Kinds, k)
	}
	var w Weights
	m.Score(&s, &w)
	if w[Identity] != familyCap || w[Template]+w[Network]+w[Parameters] != softwareCap {
		t.Error(fmt.Sprint("weights ", w))
	}
}
