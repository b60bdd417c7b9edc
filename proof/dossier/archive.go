package dossier

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/note"
)

// The limits of an archive.
const (
	MaxArchive = 512 << 20 // bytes
	maxFiles   = 20_000
	maxName    = 100
)

// manifestName is the file that lists and signs the others. It comes first.
const manifestName = "MANIFEST"

// file is one file of an archive.
type file struct {
	name string
	data []byte
}

// Write makes the archive of a profile and signs it. The signature is a C2SP signed note over the manifest, which holds the
// SHA-256 of every other file. What profile Partner pseudonymises depends on names alone.
func Write(w io.Writer, m *Material, p Profile, names *Pseudonyms, signer note.Signer) error {
	if !slices.Contains(Profiles(), p) {
		return fmt.Errorf("there is no profile %q: choose one of %v", p, Profiles())
	}
	files, err := contents(m, p, names)
	if err != nil {
		return err
	}
	head := header{campaign: m.Campaign.ID, profile: p, made: m.Made.UTC().Truncate(time.Second)}
	signed, err := note.Sign(&note.Note{Text: head.manifest(files)}, signer)
	if err != nil {
		return fmt.Errorf("sign manifest of dossier: %w", err)
	}
	return pack(w, append([]file{{manifestName, signed}}, files...))
}

// contents makes all files but the manifest, in the order of the archive.
func contents(m *Material, p Profile, names *Pseudonyms) ([]file, error) {
	r := newRedactor(m, p, names)
	doc := document{Schema: Schema, Profile: p, Made: m.Made.UTC().Truncate(time.Second), LeftOut: p.LeftOut(), Ledger: m.Ledger.Key,
		Facts: facts(m, r), Inference: inference(m, r), Actions: actions(m, r), Method: method(m)}
	for _, e := range m.Ledger.Entries {
		doc.Entries = append(doc.Entries, EntryView{e.Index, e.Type, proofName(e.Index)})
	}
	page, err := doc.page()
	if err != nil {
		return nil, err
	}
	out := []file{{"README.txt", []byte(readme)}, {"dossier.html", page}}
	for _, part := range []struct {
		name string
		v    any
	}{{"dossier.json", doc.summary()}, {"facts.json", doc.Facts}, {"inference.json", doc.Inference}, {"actions.json", doc.Actions}, {"method.json", doc.Method}} {
		data, err := json.Marshal(part.v, json.Deterministic(true), jsontext.EscapeForHTML(true), jsontext.AllowInvalidUTF8(true))
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", part.name, err)
		}
		out = append(out, file{part.name, append(data, '\n')})
	}
	if len(m.Ledger.Checkpoint) > 0 {
		out = append(out, file{"ledger/checkpoint", m.Ledger.Checkpoint})
	}
	for _, e := range m.Ledger.Entries {
		out = append(out, file{proofName(e.Index), e.Proof})
		if e.Statement != nil && r.shows(&e) {
			out = append(out, file{statementName(e.Index), e.Statement})
		}
	}
	return out, nil
}

func proofName(index uint64) string     { return fmt.Sprintf("ledger/%012d.proof", index) }
func statementName(index uint64) string { return fmt.Sprintf("ledger/%012d.statement", index) }

// header is what a manifest says before its files.
type header struct {
	campaign string
	profile  Profile
	made     time.Time
}

// manifest writes the text that is signed. Its first line tells it from every other kind of note that the key may sign.
func (h *header) manifest(files []file) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\ncampaign %q\nprofile %s\nmade %s\n", Schema, h.campaign, h.profile, h.made.Format(time.RFC3339))
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		fmt.Fprintf(&b, "%s %d %s\n", hex.EncodeToString(sum[:]), len(f.data), f.name)
	}
	return b.String()
}

// pack writes files as a zip archive in the one form that Verify takes: stored, without times, comments or extra fields.
func pack(w io.Writer, files []file) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(f.data),
			CompressedSize64: uint64(len(f.data)), UncompressedSize64: uint64(len(f.data))}
		out, err := z.CreateRaw(h)
		if err == nil {
			_, err = out.Write(f.data)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

// What can be wrong with an archive.
var (
	ErrForm      = errors.New("not a dossier as palladium writes one") // more, less or other bytes than the form has
	ErrChanged   = errors.New("a file was changed")                    // its digest is not the one of the manifest
	ErrSignature = errors.New("signature does not hold")               // not by this key, or not over this manifest
	ErrLedger    = errors.New("a proof of the ledger does not hold")
)

// Keys say whom to believe.
type Keys struct {
	Signer note.Verifier                       // nil: the signature is not checked
	Proof  func(proof, statement []byte) error // checks a proof of the ledger, and the statement unless it is nil; nil: they are not checked
}

// Report is what a check found.
type Report struct {
	Campaign string    `json:"campaign"`
	Profile  Profile   `json:"profile"`
	Made     time.Time `json:"made"`
	Files    int       `json:"files"`
	Signer   string    `json:"signer"` // name that the signature bears
	Signed   bool      `json:"signed"` // by the key that was given
	Proofs   int       `json:"proofs"` // of the ledger
	Proved   bool      `json:"proved"` // they were checked, and hold
}

// Verify checks an archive: every byte of it is accounted for, every file is the one that the manifest lists, the manifest is
// signed, and the ledger's proofs hold. Without keys it checks what can be checked without, and says so in the Report.
func Verify(data []byte, k Keys) (*Report, error) {
	files, err := unpack(data)
	if err != nil {
		return nil, err
	}
	text, signer, err := openManifest(files[0].data, k.Signer)
	if err != nil {
		return nil, err
	}
	head, err := parseHeader(text)
	if err != nil {
		return nil, err
	}
	if want := head.manifest(files[1:]); want != text {
		return nil, mismatch(text, files[1:])
	}
	var about struct {
		Schema   string    `json:"schema"`
		Profile  Profile   `json:"profile"`
		Campaign string    `json:"campaign"`
		Made     time.Time `json:"made"`
	}
	i := slices.IndexFunc(files, func(f file) bool { return f.name == "dossier.json" })
	if i < 0 || json.Unmarshal(files[i].data, &about) != nil || about.Schema != Schema || about.Profile != head.profile ||
		about.Campaign != head.campaign || !about.Made.Equal(head.made) {
		return nil, fmt.Errorf("%w: dossier.json is missing, or says something else than the manifest", ErrForm)
	}
	out := &Report{Campaign: head.campaign, Profile: head.profile, Made: head.made, Files: len(files) - 1, Signer: signer, Signed: k.Signer != nil}
	return out, out.prove(files, k.Proof)
}

// prove checks the ledger's proofs.
func (r *Report) prove(files []file, check func(proof, statement []byte) error) error {
	statements := map[string][]byte{}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.name, ".statement"); ok {
			statements[name] = f.data
		}
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.name, ".proof")
		if !ok {
			continue
		}
		r.Proofs++
		if check == nil {
			continue
		}
		if err := check(f.data, statements[name]); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrLedger, f.name, err)
		}
	}
	r.Proved = check != nil
	return nil
}

// unpack reads an archive and makes sure that it is, byte for byte, what pack makes of its files: nothing is hidden between
// them, no name stands twice, nothing unpacks to more than it is.
func unpack(data []byte) ([]file, error) {
	if len(data) > MaxArchive {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", ErrForm, MaxArchive)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if len(z.File) < 2 || len(z.File) > maxFiles || z.File[0].Name != manifestName {
		return nil, fmt.Errorf("%w: it does not begin with a manifest, or has too many files", ErrForm)
	}
	var files []file
	seen := map[string]bool{}
	left := uint64(len(data))
	for _, f := range z.File {
		if !plain(f.Name) || seen[f.Name] {
			return nil, fmt.Errorf("%w: name %.60q", ErrForm, f.Name)
		}
		seen[f.Name] = true
		if f.Method != zip.Store || f.UncompressedSize64 != f.CompressedSize64 || f.UncompressedSize64 > left {
			return nil, fmt.Errorf("%w: %s is packed, or larger than the archive", ErrForm, f.Name)
		}
		left -= f.UncompressedSize64
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrForm, f.Name, err)
		}
		content, err := io.ReadAll(io.LimitReader(in, int64(f.UncompressedSize64)))
		if err != nil || uint64(len(content)) != f.UncompressedSize64 {
			return nil, fmt.Errorf("%w: %s cannot be read whole", ErrForm, f.Name)
		}
		files = append(files, file{f.Name, content})
	}
	var again bytes.Buffer
	again.Grow(len(data))
	if err := pack(&again, files); err != nil {
		return nil, err
	}
	if !bytes.Equal(again.Bytes(), data) {
		return nil, fmt.Errorf("%w: it holds more than its files", ErrForm)
	}
	return files, nil
}

// plain reports whether a name can be unpacked anywhere without harm.
func plain(name string) bool {
	if name == "" || len(name) > maxName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./") != "" {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return part == "" || strings.HasPrefix(part, ".") })
}

// openManifest checks the signature of a manifest where there is a key, and returns what was signed.
func openManifest(data []byte, key note.Verifier) (text, signer string, err error) {
	var known note.Verifiers = note.VerifierList()
	if key != nil {
		known = note.VerifierList(key)
	}
	n, err := note.Open(data, known)
	var unknown *note.UnverifiedNoteError
	switch {
	case err == nil:
		return n.Text, n.Sigs[0].Name, nil
	case errors.As(err, &unknown) && key == nil:
		return unknown.Note.Text, unknown.Note.UnverifiedSigs[0].Name, nil
	case errors.As(err, &unknown):
		return "", "", fmt.Errorf("%w: it is by %q, the key given is %s", ErrSignature, unknown.Note.UnverifiedSigs[0].Name, key.Name())
	}
	return "", "", fmt.Errorf("%w: %w", ErrSignature, err)
}

func parseHeader(text string) (h header, err error) {
	lines := strings.SplitN(text, "\n", 5)
	wrong := fmt.Errorf("%w: its manifest has another form: a newer palladium may read it", ErrForm)
	if len(lines) < 5 || lines[0] != Schema {
		return h, wrong
	}
	var made string
	for i, into := range []struct {
		format string
		to     any
	}{{"campaign %q", &h.campaign}, {"profile %s", &h.profile}, {"made %s", &made}} {
		if _, err := fmt.Sscanf(lines[i+1], into.format, into.to); err != nil {
			return h, wrong
		}
	}
	if h.made, err = time.Parse(time.RFC3339, made); err != nil || !slices.Contains(Profiles(), h.profile) {
		return h, wrong
	}
	return h, nil
}

// mismatch says which file is not as the manifest has it.
func mismatch(text string, files []file) error {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")[4:]
	for i, f := range files {
		sum := sha256.Sum256(f.data)
		if want := fmt.Sprintf("%s %d %s", hex.EncodeToString(sum[:]), len(f.data), f.name); i >= len(lines) || lines[i] != want {
			return fmt.Errorf("%w: %s is not as the manifest lists it", ErrChanged, f.name)
		}
	}
	return fmt.Errorf("%w: the manifest lists more files than there are", ErrChanged)
}

// readme tells who unpacks the archive what it is.
const readme = `This is a dossier of Palladium: what is known of a group of accounts that are run by one operator.

dossier.html    the same as below for reading and printing; it needs no network
dossier.json    what this archive is, and what was left out of it
facts.json      what was seen, without any conclusion
inference.json  what is concluded from it, with what speaks against it
actions.json    decisions, appeals and history
method.json     how the conclusion was made, how often it errs, and what it does not say
ledger/         proofs that the transparency log holds the acts; where accounts are named, also the statements
MANIFEST        SHA-256 of each file, signed

Check it before you rely on it, with a public key that you did not get together with it:

    palladium dossier verify FILE --key KEY
`
