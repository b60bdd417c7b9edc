// Package graph looks into models that are stored as protocol buffers: ONNX, TensorFlow's SavedModel, and SentencePiece
// tokenizers. Operators decide what a graph does when it runs; those that read, write or run what is outside of it are
// reported, and so are tensors that lie in other files.
package graph

import (
	"errors"
	"path"
	"strings"

	"github.com/palladium-guard/palladium/weights/inspect"
)

// Formats returns the formats. Keras inspects the configuration of Keras models that a file holds somewhere.
func Formats(keras func(*inspect.File)) []inspect.Format {
	return []inspect.Format{
		{Name: "ONNX", Extensions: []string{".onnx", ".ort"}, Match: matchONNX, Scan: scanONNX},
		{Name: "SavedModel", Extensions: []string{".pb"}, Match: matchSavedModel, Scan: func(f *inspect.File) {
			scanSavedModel(f)
			keras(f)
		}},
		{Name: "SentencePiece", Match: matchSentencePiece, Scan: func(*inspect.File) {}},
	}
}

// broken reports why a message could not be followed.
func broken(f *inspect.File, err error) {
	switch {
	case err == nil:
	case errors.Is(err, errNesting):
		f.Report(inspect.RuleLimit, inspect.Unknown, -1, "messages are nested more than %d deep", maxNesting)
	default:
		f.Report(inspect.RuleBroken, inspect.Suspicious, -1, "the graph cannot be read to its end")
	}
}

// matchONNX asks for the fields of ModelProto, of which a graph and operator sets are always there.
func matchONNX(f *inspect.File) bool {
	h := f.Head()
	if len(h) < 8 || h[0] != 0x08 && h[0] != 0x3a && h[0] != 0x42 && h[0] != 0x12 {
		return false
	}
	var version, graph, ops bool
	fields := 0
	err := messages{f.Quiet()}.each(0, f.Size, 0, func(d field) error {
		wire := map[int]int{1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
		if w, ok := wire[d.number]; !ok || w != d.wire {
			return errMessage
		}
		version = version || d.number == 1 && d.value > 0 && d.value < 1000
		graph = graph || d.number == 7
		ops = ops || d.number == 8
		if fields++; fields > 10_000 {
			return errStop
		}
		return nil
	})
	if f.Extension() == ".onnx" {
		return version || graph
	}
	return err == nil && graph && (version || ops)
}

type onnx struct {
	messages
}

func scanONNX(f *inspect.File) {
	o := onnx{messages{f}}
	broken(f, o.each(0, f.Size, 0, func(d field) error {
		switch d.number {
		case 7: // graph
			return o.graph(d, 1)
		case 8: // opset_import
			return o.each(d.at, d.size, 1, func(d field) error {
				if d.number == 1 {
					o.domain(o.text(d), d.at)
				}
				return nil
			})
		case 20: // training_info
			return o.each(d.at, d.size, 1, func(d field) error {
				if d.number == 1 || d.number == 2 {
					return o.graph(d, 2)
				}
				return nil
			})
		case 25: // functions
			return o.each(d.at, d.size, 1, func(d field) error {
				switch d.number {
				case 7:
					return o.node(d, 2)
				case 11: // attribute_proto: what the function's attributes are when a node does not say
					return o.attribute(d, 2)
				}
				return nil
			})
		}
		return nil
	}))
}

// graph follows a GraphProto.
func (o onnx) graph(g field, depth int) error {
	return o.each(g.at, g.size, depth, func(d field) error {
		switch d.number {
		case 1:
			return o.node(d, depth+1)
		case 5:
			return o.tensor(d, depth+1)
		case 15: // sparse_initializer
			return o.sparse(d, depth+1)
		}
		return nil
	})
}

// node follows a NodeProto.
func (o onnx) node(n field, depth int) error {
	return o.each(n.at, n.size, depth, func(d field) error {
		switch d.number {
		case 4:
			if op := o.text(d); op == "PyOp" || op == "PythonOp" || op == "PyCustomOp" {
				o.f.Report(inspect.RuleOperator, inspect.Hostile, d.at, "the operator %s runs Python", inspect.Quote(op))
			}
		case 7:
			o.domain(o.text(d), d.at)
		case 5:
			return o.attribute(d, depth+1)
		}
		return nil
	})
}

// attribute follows an AttributeProto to the tensors and graphs that it holds.
func (o onnx) attribute(a field, depth int) error {
	return o.each(a.at, a.size, depth, func(d field) error {
		switch d.number {
		case 5, 10:
			return o.tensor(d, depth+1)
		case 6, 11:
			return o.graph(d, depth+1)
		case 22, 23:
			return o.sparse(d, depth+1)
		}
		return nil
	})
}

// sparse follows a SparseTensorProto: values and indices.
func (o onnx) sparse(s field, depth int) error {
	return o.each(s.at, s.size, depth, func(d field) error {
		if d.number == 1 || d.number == 2 {
			return o.tensor(d, depth+1)
		}
		return nil
	})
}

func (o onnx) domain(name string, at int64) {
	switch name {
	case "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "org.pytorch.aten":
		return
	}
	// Functions of the model itself have domains too: what they do is in the file.
	if strings.HasPrefix(name, "pkg.onnxscript.") || strings.HasPrefix(name, "pkg.torch.") || name == "pkg.transformers" {
		return
	}
	o.f.Report(inspect.RuleDomain, inspect.Suspicious, at, "operators of the domain %s need a library that is not part of ONNX", inspect.Quote(name))
}

// tensor follows a TensorProto to the place of its data.
func (o onnx) tensor(t field, depth int) error {
	return o.each(t.at, t.size, depth, func(d field) error {
		if d.number != 13 {
			return nil
		}
		var key, value string
		err := o.each(d.at, d.size, depth+1, func(e field) error {
			switch e.number {
			case 1:
				key = o.text(e)
			case 2:
				value = o.text(e)
			}
			return nil
		})
		if key == "location" {
			o.location(value, d.at)
		}
		return err
	})
}

func (o onnx) location(value string, at int64) {
	slashed := strings.ReplaceAll(value, "\\", "/")
	clean := path.Clean(slashed)
	switch {
	case path.IsAbs(slashed), len(slashed) > 1 && slashed[1] == ':', strings.Contains(slashed, "://"), clean == "..", strings.HasPrefix(clean, "../"), strings.Contains(slashed, "../"), strings.ContainsRune(value, 0):
		o.f.Report(inspect.RuleExternal, inspect.Hostile, at, "tensor data are read from %s, outside of the model", inspect.Quote(value))
	default:
		o.f.Report(inspect.RuleExternal, inspect.Safe, -1, "tensor data are read from %s beside this file", inspect.Quote(value))
	}
}

// matchSavedModel asks for the fields of SavedModel, or by name for those of GraphDef or of Keras metadata.
func matchSavedModel(f *inspect.File) bool {
	h := f.Head()
	if len(h) < 4 {
		return false
	}
	var schema, graphs bool
	count := 0
	err := messages{f.Quiet()}.each(0, f.Size, 0, func(d field) error {
		if d.number == 1 && d.wire == 0 && d.value < 100 {
			schema = true
		} else if d.number == 2 && d.wire == 2 {
			graphs = true
		} else if f.Extension() != ".pb" {
			return errMessage
		}
		if count++; count > 10_000 {
			return errStop
		}
		return nil
	})
	if f.Extension() == ".pb" {
		return err == nil || errors.Is(err, errStop)
	}
	return err == nil && schema && graphs && h[0] == 0x08
}

type saved struct {
	messages
}

func scanSavedModel(f *inspect.File) {
	s := saved{messages{f}}
	err := s.each(0, f.Size, 0, func(d field) error {
		switch {
		case d.wire == 2 && d.number == 2: // meta_graphs of SavedModel, or the library of a GraphDef
			if err := s.metaGraph(d); err != nil && !errors.Is(err, errMessage) {
				return err
			}
			if err := s.library(d, 1); err != nil && !errors.Is(err, errMessage) {
				return err
			}
		case d.wire == 2 && d.number == 1: // node of a GraphDef
			if err := s.node(d, 1); err != nil && !errors.Is(err, errMessage) {
				return err
			}
		}
		return nil
	})
	broken(f, err)
}

func (s saved) metaGraph(m field) error {
	return s.each(m.at, m.size, 1, func(d field) error {
		if d.number != 2 || d.wire != 2 {
			return nil
		}
		return s.each(d.at, d.size, 2, func(d field) error { // GraphDef
			switch {
			case d.number == 1 && d.wire == 2:
				return s.node(d, 3)
			case d.number == 2 && d.wire == 2:
				return s.library(d, 3)
			}
			return nil
		})
	})
}

// library follows a FunctionDefLibrary.
func (s saved) library(l field, depth int) error {
	return s.each(l.at, l.size, depth, func(d field) error {
		if d.number != 1 || d.wire != 2 {
			return nil
		}
		return s.each(d.at, d.size, depth+1, func(d field) error {
			if d.number == 3 && d.wire == 2 {
				return s.node(d, depth+2)
			}
			return nil
		})
	})
}

// node looks at the operator of a NodeDef.
func (s saved) node(n field, depth int) error {
	return s.each(n.at, n.size, depth, func(d field) error {
		if d.number != 2 || d.wire != 2 {
			return nil
		}
		op := s.text(d)
		switch op {
		case "PyFunc", "PyFuncStateless", "EagerPyFunc", "LoadLibrary", "WriteFile", "Batch_PyFunc", "ExecuteTPUEmbeddingPartitioner", "ShellExecute", "RpcCall", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary", "DebugNumericSummaryV2":
			s.f.Report(inspect.RuleOperator, inspect.Hostile, d.at, "the operator %s runs code or writes outside of the model", inspect.Quote(op))
		case "ReadFile", "MatchingFiles", "ImmutableConst", "PrintV2", "Save", "SaveSlices", "MergeV2Checkpoints", "WholeFileReader", "WholeFileReaderV2",
			"TextLineReader", "TextLineReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "TFRecordReader", "TFRecordReaderV2",
			"TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "SqlDataset", "SaveDataset",
			"SaveDatasetV2", "LoadDataset", "DataServiceDataset", "DataServiceDatasetV2", "DatasetToTFRecord", "CSVDataset", "CSVDatasetV2", "SnapshotDataset",
			"SnapshotDatasetV2", "CreateSummaryFileWriter", "CreateSummaryDbWriter", "ModelDataset", "CollectiveBcastSendV2", "Send", "Recv", "RegisterDataset", "BigQueryReader",
			"DecodeProtoV2", "EncodeProto", "LMDBReader", "LMDBDataset", "IdentityReader", "IdentityReaderV2", "FileSystemSetConfiguration", "RemoteCall":
			s.f.Report(inspect.RuleOperator, inspect.Suspicious, d.at, "the operator %s reads or writes outside of the model", inspect.Quote(op))
		}
		return nil
	})
}

// matchSentencePiece asks for pieces, each a text with a score, and nothing but what ModelProto has.
func matchSentencePiece(f *inspect.File) bool {
	h := f.Head()
	if len(h) < 8 || h[0] != 0x0a {
		return false
	}
	m := messages{f.Quiet()}
	pieces, trainer := 0, false
	err := m.each(0, f.Size, 0, func(d field) error {
		if d.wire != 2 || d.number > 5 {
			return errMessage
		}
		trainer = trainer || d.number == 2
		if d.number != 1 {
			return nil
		}
		pieces++
		return m.each(d.at, d.size, 1, func(d field) error {
			if d.number > 3 || d.wire != map[int]int{1: 2, 2: 5, 3: 0}[d.number] {
				return errMessage
			}
			return nil
		})
	})
	return err == nil && pieces > 0 && trainer
}
