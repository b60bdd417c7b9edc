package otlp

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // what exporters compress with
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	grpctap "google.golang.org/grpc/tap"
	"google.golang.org/protobuf/types/known/durationpb"
)

// newGRPC returns the server for OTLP over gRPC.
func (t *Tap) newGRPC() *grpc.Server {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(t.c.Request)), grpc.MaxConcurrentStreams(uint32(t.c.AtOnce)), grpc.InTapHandle(t.admit),
		grpc.ConnectionTimeout(10 * time.Second), grpc.MaxHeaderListSize(16 << 10),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 10 * time.Minute, Time: time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
	if cfg := t.keys.TLS(); cfg != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(cfg)))
	}
	s := grpc.NewServer(opts...)
	ptraceotlp.RegisterGRPCServer(s, &traces{t: t})
	plogotlp.RegisterGRPCServer(s, &logs{t: t})
	return s
}

// admit decides on a request by its headers, before its message is read into memory.
func (t *Tap) admit(ctx context.Context, info *grpctap.Info) (context.Context, error) {
	value := ""
	if v := info.Header.Get("authorization"); len(v) > 0 {
		value = v[0]
	}
	if !t.keys.Allows(value) {
		t.refused[causeIdentity].Add(1)
		return nil, status.Error(codes.Unauthenticated, "send one of the tokens as authorization: Bearer")
	}
	release := t.take()
	if release == nil {
		t.refused[causeBusy].Add(1)
		return nil, status.Error(codes.Unavailable, "too many requests at once; try again")
	}
	context.AfterFunc(ctx, release) // the stream's end
	return ctx, nil
}

type traces struct {
	ptraceotlp.UnimplementedGRPCServer
	t *Tap
}

// Export takes spans.
func (s *traces) Export(ctx context.Context, r ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	out := ptraceotlp.NewExportResponse()
	document, err := r.MarshalJSON()
	rejected, reason, err := s.t.export(ctx, document, err)
	if rejected > 0 {
		out.PartialSuccess().SetRejectedSpans(rejected)
		out.PartialSuccess().SetErrorMessage(reason)
	}
	return out, err
}

type logs struct {
	plogotlp.UnimplementedGRPCServer
	t *Tap
}

// Export takes log records.
func (s *logs) Export(ctx context.Context, r plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	out := plogotlp.NewExportResponse()
	document, err := r.MarshalJSON()
	rejected, reason, err := s.t.export(ctx, document, err)
	if rejected > 0 {
		out.PartialSuccess().SetRejectedLogRecords(rejected)
		out.PartialSuccess().SetErrorMessage(reason)
	}
	return out, err
}

// export accepts one request, unless it could not be read.
func (t *Tap) export(ctx context.Context, document []byte, err error) (rejected int64, reason string, _ error) {
	if err != nil {
		t.refused[causeForm].Add(1)
		return 0, "", status.Error(codes.InvalidArgument, "the request cannot be read")
	}
	t.bytes.Add(int64(len(document)))
	rejected, reason, err = t.accept(ctx, "otlp:grpc", document)
	if err != nil {
		return 0, "", t.again("observations cannot be taken at the moment; try again")
	}
	t.requests[overGRPC].Add(1)
	return rejected, reason, nil
}

// again is the refusal that has clients send the same request later.
func (t *Tap) again(says string) error {
	s := status.New(codes.Unavailable, says)
	if with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(t.c.Retry)}); err == nil {
		s = with
	}
	return s.Err()
}
