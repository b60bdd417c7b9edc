// Package gateway is the only inline code: it stands between callers and a model's server, knows who calls, holds them
// to policy, budget and verdict, passes answers on as they come, and observes.
package gateway
