package guard

import "cel.dev/cel-go/cel"

// Facts are what is known of a model before it is loaded. A policy decides on them.
type Facts struct {
	Signed   bool     // a signature by a trusted key covers the files
	Method   string   // key, certificate or sigstore
	Signer   string   // hint of the key, name in the certificate, or Sigstore identity
	Names    []string // all names in the certificate
	Issuer   string   // who vouches for a Sigstore identity
	Dialect  string   // of the signature's format
	Root     string   // digest that stands for the model, SHA-256 in hex
	Files    int
	Bytes    int64
	Unsigned []string // files accepted although no signature covers them
	Ignored  []string // paths that the signature leaves out

	Verdict  string   // of inspection, of the worst file: safe, unknown, suspicious, hostile
	Findings []string // rules of inspection that any file broke, sorted
	Unsafe   []string // files that inspection does not call safe

	Lineage string // weakest grade on the way to the roots: none, broken, claimed, measured, recomputed

	Ledger string // name of the ledger that the load goes into; empty for none
	Proved string // name of the ledger in which the signature was proved to be; empty for none
}

// Field is a name that a policy can use.
type Field struct {
	Name string
	Type string // CEL type: bool, int, string, list(string)
	Says string // what it is, in words

	value any
}

// Fields lists the names that a policy can use, with the values that f has.
func (f *Facts) Fields() []Field {
	return []Field{
		{"signed", "bool", "a signature that is trusted covers the files", f.Signed},
		{"method", "string", "how it was signed: key, certificate or sigstore", f.Method},
		{"signer", "string", "who signed: hint of the key, name in the certificate, or Sigstore identity", f.Signer},
		{"names", "list(string)", "all names in the certificate", f.Names},
		{"issuer", "string", "who vouches for a Sigstore identity", f.Issuer},
		{"dialect", "string", "dialect of the signature's format", f.Dialect},
		{"root", "string", "digest that stands for the model, SHA-256 in hex", f.Root},
		{"files", "int", "signed files", f.Files},
		{"bytes", "int", "bytes in them", f.Bytes},
		{"unsigned", "list(string)", "files accepted although no signature covers them", f.Unsigned},
		{"ignored", "list(string)", "paths that the signature leaves out", f.Ignored},
		{"verdict", "string", "what inspection says of the worst file: safe, unknown, suspicious or hostile", f.Verdict},
		{"findings", "list(string)", "rules of inspection that files broke", f.Findings},
		{"unsafe", "list(string)", "files that inspection does not call safe", f.Unsafe},
		{"lineage", "string", "weakest grade on the way to the roots: none (no statement), broken (does not hold), claimed, measured or recomputed", f.Lineage},
		{"ledger", "string", "name of the ledger that the load goes into; empty for none", f.Ledger},
		{"proved", "string", "name of the ledger that the signature was proved to be in; empty for none", f.Proved},
	}
}

func (f *Field) celType() *cel.Type {
	switch f.Type {
	case "bool":
		return cel.BoolType
	case "int":
		return cel.IntType
	case "string":
		return cel.StringType
	}
	return cel.ListType(cel.StringType)
}
