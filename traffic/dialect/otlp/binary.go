package otlp

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/palladium-guard/palladium/traffic/dialect"
)

// Spans is the format of export requests for spans in protobuf form, one a value, as the collector's Kafka exporter writes
// them by default. What it takes from one is what Format takes from the same request in JSON.
func Spans() dialect.Format {
	return format("otlp-spans", func(value []byte) ([]byte, error) {
		r := ptraceotlp.NewExportRequest()
		if err := r.UnmarshalProto(value); err != nil {
			return nil, err
		}
		return r.MarshalJSON()
	})
}

// Logs is the same for log records.
func Logs() dialect.Format {
	return format("otlp-logs", func(value []byte) ([]byte, error) {
		r := plogotlp.NewExportRequest()
		if err := r.UnmarshalProto(value); err != nil {
			return nil, err
		}
		return r.MarshalJSON()
	})
}

func format(name string, json func([]byte) ([]byte, error)) dialect.Format {
	return dialect.Format{Name: name, Whole: true, New: func() dialect.Decoder { return &binary{json: json, to: new(Decoder)} }}
}

type binary struct {
	json func([]byte) ([]byte, error)
	to   dialect.Decoder
}

// Decode implements dialect.Decoder.
func (d *binary) Decode(value []byte, emit func(*dialect.Record) error) error {
	line, err := d.json(value)
	if err != nil { // its words name places in the value, or quote it: they stay here
		return fmt.Errorf("%w: the value is no export request in protobuf form", dialect.ErrSyntax)
	}
	return d.to.Decode(line, emit)
}
