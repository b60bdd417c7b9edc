package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/store/catalog"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

const (
	maxText    = 20_000   // characters of an appeal
	maxContact = 200      // characters
	maxForm    = 96 << 10 // bytes
)

// Page is what account holders see of due process: one verdict's notice, and a form to object. It needs no script, no sign-in
// and no account, so it works for those who are blocked. It knows a visitor by the appeal reference alone.
type Page struct {
	d         *Desk
	page      *template.Template
	policy    string
	ref       *regexp.Regexp
	all, miss *api.Limiter
	send      *api.Limiter
}

// NewPage makes the page. It answers below the path /appeal/.
func NewPage(d *Desk) (*Page, error) {
	t, err := template.New("appeal").Funcs(template.FuncMap{"day": day}).Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("read appeal page: %w", err)
	}
	sum := sha256.Sum256([]byte(pageCSS))
	return &Page{d: d, page: t, ref: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{9,63}$`),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		all:    api.NewLimiter(1, 30), miss: api.NewLimiter(1.0/30, 10), send: api.NewLimiter(1.0/120, 5)}, nil
}

// shown is what the page says.
type shown struct {
	CSS    template.CSS
	Site   string
	Title  string
	Says   []string // paragraphs
	Notice string
	Ref    string
	Appeal *catalog.Appeal
	Form   bool
	Text   string // as sent, when it has to be corrected
	Most   int
}

// ServeHTTP answers GET and POST of /appeal/REFERENCE.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api.Harden(w.Header())
	w.Header().Set("Content-Security-Policy", p.policy)
	w.Header().Set("Referrer-Policy", "same-origin") // without any, browsers hide from where the form is sent
	ctx, cancel := context.WithTimeout(r.Context(), 15*time.Second)
	defer cancel()
	r = r.WithContext(ctx)
	control := http.NewResponseController(w)
	until := time.Now().Add(15 * time.Second)
	_, _ = control.SetReadDeadline(until), control.SetWriteDeadline(until) // not all writers can
	ip := api.ClientIP(r, p.d.o.Proxies)
	if p.late(w, p.all.Wait(ip, time.Now())) || p.late(w, p.miss.Full(ip, time.Now())) {
		return
	}
	ref, ok := strings.CutPrefix(r.URL.Path, "/appeal/")
	if !ok || !p.ref.MatchString(ref) {
		p.nobody(w, ip)
		return
	}
	n, err := p.notice(ctx, ref)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		p.nobody(w, ip)
	case err != nil:
		p.broken(w, err)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		p.show(w, r, &n, http.StatusOK, "", "")
	case r.Method == http.MethodPost:
		p.take(w, r, &n, ip)
	default:
		w.Header().Set("Allow", "GET, POST")
		p.write(w, http.StatusMethodNotAllowed, shown{Title: "Not possible", Says: []string{"This page can be read, and its form sent."}})
	}
}

// notice returns what the holder of the reference was told.
func (p *Page) notice(ctx context.Context, ref string) (catalog.Notice, error) {
	n, err := p.d.o.Catalog.GetNoticeByRef(ctx, ref)
	if !errors.Is(err, catalog.ErrNotFound) {
		return n, err
	}
	// A verdict whose notice was not written yet, or is recorded only.
	v, err := p.d.o.Catalog.GetVerdictByAppeal(ctx, ref)
	if err != nil {
		return n, err
	}
	decision, err := p.d.o.Catalog.GetDecision(ctx, v.Decision)
	if err != nil {
		return n, err
	}
	if list := Notices(&decision, []catalog.Verdict{v}, p.d.o.Origin+"/appeal", v.Issued); len(list) == 1 {
		return list[0], nil
	}
	return n, catalog.ErrNotFound
}

// latest returns the newest appeal of a reference, nil when there is none.
func (p *Page) latest(ctx context.Context, ref string) (*catalog.Appeal, error) {
	list, _, err := p.d.o.Catalog.ListAppeals(ctx, catalog.AppealQuery{Ref: ref})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// open reports whether an appeal can be made.
func (p *Page) open(n *catalog.Notice, a *catalog.Appeal) bool {
	return (a == nil || a.State == catalog.AppealWithdrawn) && p.d.o.Now().Before(n.At.Add(p.d.o.Window))
}

func (p *Page) show(w http.ResponseWriter, r *http.Request, n *catalog.Notice, status int, says, text string) {
	a, err := p.latest(r.Context(), n.AppealRef)
	if err != nil {
		p.broken(w, err)
		return
	}
	out := shown{Title: "Notice, and how to object", Notice: n.Text, Ref: n.AppealRef, Appeal: a, Form: p.open(n, a), Text: text, Most: maxText}
	if says != "" {
		out.Says = []string{says}
	}
	p.write(w, status, out)
}

// take stores an appeal, or its withdrawal.
func (p *Page) take(w http.ResponseWriter, r *http.Request, n *catalog.Notice, ip string) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" || !p.ours(r) {
		p.write(w, http.StatusForbidden, shown{Title: "Not sent", Says: []string{"The form must be sent from this page: open it from the address in your notice."}})
		return
	}
	if p.late(w, p.send.Wait(ip, time.Now())) || p.late(w, p.send.Wait(n.AppealRef, time.Now())) {
		return
	}
	form, err := p.form(w, r)
	if err != nil {
		p.show(w, r, n, http.StatusBadRequest, "The form could not be read. Send it again, with less text.", "")
		return
	}
	a, err := p.latest(r.Context(), n.AppealRef)
	if err != nil {
		p.broken(w, err)
		return
	}
	if form.Get("action") == "withdraw" {
		p.withdraw(w, r, n, a)
		return
	}
	text, contact := strings.TrimSpace(form.Get("text")), strings.TrimSpace(form.Get("contact"))
	switch {
	case !p.open(n, a) && a != nil: // two clicks
		http.Redirect(w, r, "/appeal/"+n.AppealRef, http.StatusSeeOther)
		return
	case !p.open(n, a):
		p.show(w, r, n, http.StatusConflict, "", "")
		return
	case text == "" || utf8.RuneCountInString(text) > maxText || utf8.RuneCountInString(contact) > maxContact:
		p.show(w, r, n, http.StatusBadRequest, fmt.Sprintf("Say in your own words why the measure is wrong, in %d characters at most.", maxText), text)
		return
	}
	now := p.d.o.Now().UTC()
	made := catalog.Appeal{ID: "ap_" + strings.ToLower(rand.Text()[:20]), Ref: n.AppealRef, Account: n.Account, Decision: n.Decision, Verdict: n.Verdict,
		Contact: contact, Text: text, At: now, Due: now.Add(p.d.o.Review), State: catalog.AppealOpen}
	if err := p.store(r.Context(), "appeal.made", made); err != nil && !errors.Is(err, catalog.ErrConflict) { // two clicks at once
		p.broken(w, err)
		return
	}
	http.Redirect(w, r, "/appeal/"+n.AppealRef, http.StatusSeeOther)
}

// ours reports whether Origin, where the browser sends it, is this site.
func (p *Page) ours(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if scheme, host, ok := strings.Cut(p.d.o.Origin, "://"); ok {
		return u.Scheme == scheme && api.SameHost(u.Host, host)
	}
	return api.SameHost(u.Host, r.Host)
}

func (p *Page) form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("not a form")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	return r.PostForm, nil
}

func (p *Page) withdraw(w http.ResponseWriter, r *http.Request, n *catalog.Notice, a *catalog.Appeal) {
	if a == nil || a.State != catalog.AppealOpen && a.State != catalog.AppealInReview {
		p.show(w, r, n, http.StatusConflict, "There is no appeal that could be withdrawn.", "")
		return
	}
	a.State = catalog.AppealWithdrawn
	if err := p.store(r.Context(), "appeal.withdrawn", *a); err != nil {
		p.broken(w, err)
		return
	}
	http.Redirect(w, r, "/appeal/"+n.AppealRef, http.StatusSeeOther)
}

// store writes the appeal into the ledger, then into the catalog. The ledger has a digest of its words.
func (p *Page) store(ctx context.Context, kind string, a catalog.Appeal) error {
	sum := sha256.Sum256([]byte(a.Text))
	body, err := json.Marshal(map[string]any{"at": p.d.o.Now().UTC(), "actor": "holder", "operation": kind, "appeal": a.ID, "decision": a.Decision,
		"verdict": a.Verdict, "text_sha256": hex.EncodeToString(sum[:])})
	if err != nil {
		return err
	}
	index, err := p.d.o.Ledger.Append(ctx, api.KindAct, body)
	if err != nil {
		return fmt.Errorf("append appeal to the ledger: %w", err)
	}
	return p.d.o.Catalog.Update(ctx, func(tx *catalog.Store) error {
		put, err := tx.PutAppeal(ctx, a)
		if err != nil {
			return err
		}
		refs := []string{"account:" + put.Account, "decision:" + put.Decision}
		switch v, err := tx.GetDecision(ctx, put.Decision); {
		case err == nil && v.Campaign != "":
			refs = append(refs, "campaign:"+v.Campaign)
		case err != nil && !errors.Is(err, catalog.ErrNotFound):
			return err
		}
		return tx.Append(ctx, &catalog.Event{At: put.At, Actor: "holder", Kind: kind, Subject: "appeal:" + put.ID, Refs: refs, LedgerIndex: index})
	})
}

// nobody answers for a reference that is not there. Guessing soon has to wait.
func (p *Page) nobody(w http.ResponseWriter, ip string) {
	if p.late(w, p.miss.Wait(ip, time.Now())) {
		return
	}
	p.write(w, http.StatusNotFound, shown{Title: "Not found", Says: []string{"There is no notice with this reference. Copy it from the notice letter by letter."}})
}

// late tells who comes too often to wait.
func (p *Page) late(w http.ResponseWriter, wait time.Duration) bool {
	if wait <= 0 {
		return false
	}
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	p.write(w, http.StatusTooManyRequests, shown{Title: "Too many requests", Says: []string{fmt.Sprintf("Try again in %d seconds. Nothing that you sent before is lost.", seconds)}})
	return true
}

func (p *Page) broken(w http.ResponseWriter, err error) {
	p.d.o.Log.Error("appeal page failed", "error", err)
	p.write(w, http.StatusServiceUnavailable, shown{Title: "Not possible just now", Says: []string{"Something went wrong here, and nothing was stored. Try again in some minutes."}})
}

func (p *Page) write(w http.ResponseWriter, status int, s shown) {
	s.CSS, s.Site = template.CSS(pageCSS), p.d.o.Site
	var b bytes.Buffer
	if err := p.page.Execute(&b, s); err != nil {
		p.d.o.Log.Error("appeal page cannot be written", "error", err)
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who has gone needs no answer
}
