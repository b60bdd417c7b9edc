package judge

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// promises proves for the condition of an act rule what Decide enforces anyway, so that nobody reads a policy that
// says one thing and sees another done: with one field known and all others unknown, the condition must be false.
// Keys has no other values below MinKeys than 0 and 1, so that for the two-key rule the proof is complete; for the
// share of vouched accounts it is a probe of three values.
func (l *language) promises(checked *cel.Ast) error {
	program, err := l.env.Program(checked, cel.EvalOptions(cel.OptPartialEval), cel.CostLimit(costLimit))
	if err != nil {
		return fmt.Errorf("plan the condition: %w", err)
	}
	never := func(name string, value any) (bool, error) {
		vars, err := l.env.PartialVars(map[string]any{name: value})
		if err != nil {
			return false, fmt.Errorf("plan the condition: %w", err)
		}
		out, _, err := program.Eval(vars)
		return err == nil && out == types.False, nil
	}
	for keys := range MinKeys {
		ok, err := never("keys", keys)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("it could act on %s of evidence, and the two-key rule cannot be lowered: add `&& keys >= %d`",
				count(keys, "independent key"), MinKeys)
		}
	}
	for _, share := range []float64{VouchedShare, (VouchedShare + 1) / 2, 1} {
		ok, err := never("vouched", share)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("it could act on a group that the operator vouches for: add `&& vouched < %g`", VouchedShare)
		}
	}
	return nil
}
