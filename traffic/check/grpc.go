package check

import (
	"context"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxCheck is the largest check over gRPC, in bytes: a request's headers, and what Envoy adds.
const maxCheck = 256 << 10

// newGRPC returns the server for Envoy's external authorisation, with the standard health service beside it.
func (d *Door) newGRPC() *grpc.Server {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxCheck), grpc.MaxConcurrentStreams(10_000), grpc.ConnectionTimeout(10 * time.Second),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if cfg := d.keys.TLS(); cfg != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(cfg)))
	}
	s := grpc.NewServer(opts...)
	authv3.RegisterAuthorizationServer(s, &envoy{d: d})
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	return s
}

type envoy struct {
	authv3.UnimplementedAuthorizationServer
	d *Door
}

// Check implements Envoy's envoy.service.auth.v3.Authorization.
func (e *envoy) Check(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	d := e.d
	if !d.keys.Allows(token(ctx)) {
		d.unknown()
		a := refuse(http.StatusServiceUnavailable, "check.token", "The gateway may not ask.")
		d.meters.count("grpc", &a)
		return response(&a), nil
	}
	asked := in.GetAttributes().GetRequest().GetHttp()
	path, _, _ := strings.Cut(asked.GetPath(), "?")
	q := question{now: time.Now(), path: path}
	h := headers(asked)
	q.identity = d.identify(h.Values, func() *http.Request { return &http.Request{Method: asked.GetMethod(), Header: h} })
	a := d.decide(&q)
	if a.Allow && !d.hold(ctx, &a, d.c.Hold.GRPC) {
		return nil, ctx.Err()
	}
	d.meters.count("grpc", &a)
	return response(&a), nil
}

// token is the one that the asking gateway sends for itself.
func token(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, name := range [...]string{"x-palladium-token", "authorization"} {
		if v := md.Get(name); len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// headers are those of the caller's request. Envoy joins several of one name with commas, unless it is told to send them
// as they came.
func headers(r *authv3.AttributeContext_HttpRequest) http.Header {
	h := http.Header{}
	for name, value := range r.GetHeaders() {
		if !strings.HasPrefix(name, ":") {
			h.Add(name, value)
		}
	}
	for _, v := range r.GetHeaderMap().GetHeaders() {
		if strings.HasPrefix(v.GetKey(), ":") {
			continue
		}
		value := v.GetValue()
		if value == "" {
			value = string(v.GetRawValue())
		}
		name := textproto.CanonicalMIMEHeaderKey(v.GetKey())
		h[name] = append(h[name], value)
	}
	return h
}

// response gives an answer the form that Envoy understands. A request that passes carries the answer's headers to the
// upstream, and none of that name that the caller made up; Envoy's own logs and filters find them as metadata.
func response(a *Answer) *authv3.CheckResponse {
	var set []*corev3.HeaderValueOption
	fields := map[string]*structpb.Value{}
	var named []string
	a.header(func(name, value string) {
		if !a.Allow || name != "retry-after" {
			set = append(set, &corev3.HeaderValueOption{
				Header:       &corev3.HeaderValue{Key: name, Value: value},
				AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			})
		}
		named = append(named, name)
		fields[strings.ReplaceAll(strings.TrimPrefix(name, "x-palladium-"), "-", "_")] = structpb.NewStringValue(value)
	})
	out := &authv3.CheckResponse{Status: &status.Status{Code: int32(code(a))}, DynamicMetadata: &structpb.Struct{Fields: fields}}
	if a.Allow {
		remove := slices.DeleteFunc(headerNames(), func(name string) bool { return slices.Contains(named, name) })
		out.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{Headers: set, HeadersToRemove: remove}}
		return out
	}
	set = append(set, &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: "content-type", Value: "application/problem+json"},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	})
	out.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(a.Status)}, Headers: set, Body: string(problem(a)),
	}}
	return out
}

func code(a *Answer) codes.Code {
	switch a.Status {
	case http.StatusOK:
		return codes.OK
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return codes.PermissionDenied
}
