package rules

import _ "embed"

//go:embed policy.yaml
var policyYAML string

// Policy returns the default policy of package judge, in its YAML form. The caller owns the slice.
func Policy() []byte { return []byte(policyYAML) }
