package office_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/palladium-guard/palladium/api"
	"github.com/palladium-guard/palladium/api/auth"
	"github.com/palladium-guard/palladium/app/office"
	"github.com/palladium-guard/palladium/store/catalog"
)

func cookieOf(t testing.TB, h http.Header, name string) *http.Cookie {
	t.Helper()
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func TestPassword(t *testing.T) {
	r := start(t)
	c := r.client()
	sign := map[string]any{"user": "Viewer", "password": password} // names differ in more than case
	first := c.want("POST", "/session", sign, 200)
	ck := cookieOf(t, first.header, "__Host-palladium")
	if ck == nil || !ck.Secure || !ck.HttpOnly || ck.SameSite != http.SameSiteStrictMode || ck.Path != "/" || ck.Domain != "" || len(ck.Value) < 40 {
		t.Fatalf("cookie: %+v", ck)
	}
	// A session that is there before sign-in, or was planted, is not the one after.
	second := c.want("POST", "/session", sign, 200)
	if again := cookieOf(t, second.header, "__Host-palladium"); again.Value == ck.Value {
		t.Error("the session was not renewed at sign-in")
	}
	old := r.client().with("Cookie", "__Host-palladium="+ck.Value)
	old.refused("GET", "/me", nil, "not_signed_in")
	planted := r.client().with("Cookie", "__Host-palladium=planted-by-somebody-else-planted-by-som")
	got := planted.want("POST", "/session", sign, 200)
	if v := cookieOf(t, got.header, "__Host-palladium"); v == nil || strings.Contains(v.Value, "planted") {
		t.Error("a planted session was taken over")
	}
	planted.refused("GET", "/me", nil, "not_signed_in")

	// Wrong name and wrong password are told alike.
	a := r.client().refused("POST", "/session", map[string]any{"user": "viewer", "password": "wrong horse battery"}, "sign_in_failed")
	b := r.client().refused("POST", "/session", map[string]any{"user": "nobody", "password": "wrong horse battery"}, "sign_in_failed")
	if a.str("detail") != b.str("detail") || a.status != b.status {
		t.Error("an unknown name is told from a wrong password")
	}
	// Changing the password ends other sessions.
	other := r.client()
	other.want("POST", "/session", sign, 200)
	c.refused("POST", "/me/password", map[string]any{"current": "wrong", "new": "a completely new one"}, "forbidden")
	c.refused("POST", "/me/password", map[string]any{"current": password, "new": "short"}, "bad_request")
	c.refused("POST", "/me/password", map[string]any{"current": password, "new": "aaaaaaaaaaaaaaaa"}, "bad_request")
	c.want("POST", "/me/password", map[string]any{"current": password, "new": "a completely new one"}, 204)
	other.refused("GET", "/me", nil, "not_signed_in")
	c.want("GET", "/me", nil, 200)
	// A stolen cookie is worth nothing after sign-out.
	c.want("DELETE", "/session", nil, 204)
	c.refused("GET", "/me", nil, "not_signed_in")
	// A disabled user has neither session nor token.
	viewer, token := r.users[api.Analyst], r.users[api.Analyst].program(api.ScopeRead)
	token.want("GET", "/campaigns", nil, 200)
	r.users[api.Admin].want("PATCH", "/users/"+viewer.name, map[string]any{"disabled": true}, 200)
	viewer.refused("GET", "/me", nil, "not_signed_in")
	token.refused("GET", "/campaigns", nil, "not_signed_in")
	r.client().refused("POST", "/session", map[string]any{"user": "analyst", "password": password}, "sign_in_failed")
}

func TestGuessing(t *testing.T) {
	r := start(t)
	slowed := false
	for range 12 {
		got := r.client().do("POST", "/session", map[string]any{"user": "admin", "password": "guess"})
		if got.status == http.StatusTooManyRequests {
			slowed = true
			if got.header.Get("Retry-After") == "" || got.header.Get("Retry-After") == "0" {
				t.Error("no Retry-After")
			}
		}
	}
	if !slowed {
		t.Error("twelve guesses in a row were all tried")
	}
	for range 40 {
		if r.client().do("POST", "/session/setup", map[string]any{"token": "pli_guess", "password": password}).status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("forty invitations in a row were all tried")
}

func TestBootstrap(t *testing.T) {
	r := start(t)
	if token, err := r.office.Auth.Bootstrap(t.Context()); token != "" || err != nil {
		t.Errorf("a second bootstrap token: %q %v", token, err)
	}
	admin := r.users[api.Admin]
	me := admin.want("GET", "/me", nil, 200).str("id")
	admin.refused("PATCH", "/users/"+me, map[string]any{"role": "viewer"}, "conflict") // the last one
	admin.refused("PATCH", "/users/"+me, map[string]any{"disabled": true}, "conflict")
	made := admin.want("POST", "/users", map[string]any{"name": "anna", "role": "admin"}, 201)
	admin.refused("POST", "/users", map[string]any{"name": "ANNA", "role": "viewer"}, "conflict")
	anna := r.client()
	invitation := map[string]any{"token": made.str("invitation"), "password": "anna anna anna"}
	anna.refused("POST", "/session/setup", invitation, "bad_request") // made of the name
	invitation["password"] = password
	anna.want("POST", "/session/setup", invitation, 200)
	r.client().refused("POST", "/session/setup", invitation, "sign_in_failed") // once
	anna.want("PATCH", "/users/"+me, map[string]any{"role": "viewer"}, 200)
}

func TestOneTimeCodes(t *testing.T) {
	now := time.Now()
	r := start(t, func(o *office.Options) { o.Now = func() time.Time { return now } })
	c := r.users[api.Viewer]
	c.refused("POST", "/me/totp/confirm", map[string]any{"code": "123456"}, "conflict")
	key := c.want("POST", "/me/totp", nil, 200).str("secret")
	code := func() string {
		s, err := totp.GenerateCode(key, now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	wrong := fmt.Sprintf("%06d", (num(code())+1)%1000000)
	c.refused("POST", "/me/totp/confirm", map[string]any{"code": wrong}, "bad_request")
	c.want("POST", "/me/totp/confirm", map[string]any{"code": code()}, 204)
	sign := map[string]any{"user": "viewer", "password": password}
	r.client().refused("POST", "/session", sign, "totp_required")
	sign["totp"] = code()
	r.client().refused("POST", "/session", sign, "sign_in_failed") // used to confirm, and not taken twice
	now = now.Add(time.Minute)
	sign["totp"] = code()
	r.client().want("POST", "/session", sign, 200)
	now = now.Add(20 * time.Minute)
	c.want("POST", "/session", map[string]any{"user": "viewer", "password": password, "totp": code()}, 200)
	c.refused("DELETE", "/me/totp", map[string]any{"password": "wrong"}, "forbidden")
	c.want("DELETE", "/me/totp", map[string]any{"password": password}, 204)
	u, err := r.store.GetUserByName(t.Context(), "viewer")
	if err != nil || len(u.TOTP) != 0 {
		t.Errorf("%v %v", u.TOTP, err)
	}
}

func num(s string) (n int) {
	_, _ = fmt.Sscanf(s, "%d", &n)
	return n
}

func TestPasskeys(t *testing.T) {
	r := start(t)
	c := r.users[api.Analyst]
	u, _ := url.Parse(r.url)
	rp := virtualwebauthn.RelyingParty{Name: "Palladium", ID: u.Hostname(), Origin: r.url}
	device := virtualwebauthn.NewAuthenticator()
	key := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
	register := func(who *client, rp virtualwebauthn.RelyingParty) *reply {
		begun := who.want("POST", "/me/passkeys/begin", nil, 200)
		text, _ := json.Marshal(begun.at("options"))
		options, err := virtualwebauthn.ParseAttestationOptions(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if device.Options.UserHandle == nil {
			user, _ := r.store.GetUser(t.Context(), who.name)
			device.Options.UserHandle = user.Handle
		}
		return who.do("POST", "/me/passkeys/finish", map[string]any{"ceremony": begun.str("ceremony"), "name": "phone",
			"credential": json.RawMessage(virtualwebauthn.CreateAttestationResponse(rp, device, key, *options))})
	}
	if got := register(c, virtualwebauthn.RelyingParty{Name: "Evil", ID: "evil.example", Origin: "https://evil.example"}); got.status != 400 {
		t.Errorf("a passkey of another site: %d", got.status)
	}
	made := register(c, rp)
	if made.status != 201 || made.str("name") != "phone" {
		t.Fatalf("%d %s", made.status, made.body)
	}
	device.AddCredential(key)
	signIn := func(rp virtualwebauthn.RelyingParty) *reply {
		b := r.client()
		begun := b.want("POST", "/session/passkey/begin", nil, 200)
		text, _ := json.Marshal(begun.at("options"))
		options, err := virtualwebauthn.ParseAssertionOptions(string(text))
		if err != nil {
			t.Fatal(err)
		}
		key.Counter++
		body := map[string]any{"ceremony": begun.str("ceremony"), "credential": json.RawMessage(virtualwebauthn.CreateAssertionResponse(rp, device, key, *options))}
		got := b.do("POST", "/session/passkey/finish", body)
		b.refused("POST", "/session/passkey/finish", body, "bad_request") // once
		return got
	}
	if got := signIn(rp); got.status != 200 || got.str("me", "id") != c.name {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := signIn(virtualwebauthn.RelyingParty{ID: u.Hostname(), Origin: "https://evil.example"}); got.status != 401 {
		t.Errorf("phished: %d %s", got.status, got.body)
	}
	device.Options.UserNotVerified = true
	if got := signIn(rp); got.status != 401 {
		t.Errorf("without verification of the user: %d %s", got.status, got.body)
	}
	list := c.want("GET", "/me/passkeys", nil, 200)
	if len(list.items()) != 1 || list.at("items", 0, "last_used") == nil {
		t.Errorf("%s", list.body)
	}
	r.users[api.Viewer].refused("DELETE", "/me/passkeys/"+list.str("items", 0, "id"), nil, "not_found")
	c.want("DELETE", "/me/passkeys/"+list.str("items", 0, "id"), nil, 204)
}

// A real OpenID Connect provider, with a browser that follows its redirects and fills its form.
func TestOIDC(t *testing.T) {
	provider := httptest.NewUnstartedServer(nil)
	provider.Start()
	defer provider.Close()
	var site *rig
	users := storage.NewUserStore(provider.URL)
	r := start(t, func(o *office.Options) {
		o.SignIn.OIDC = &auth.OIDCConfig{Name: "Example IdP", Issuer: provider.URL, ClientID: "palladium", ClientSecret: "s3cret"}
		clients := map[string]*storage.Client{"palladium": storage.WebClient("palladium", "s3cret", o.Origin+"/api/v1/session/oidc/callback")}
		provider.Config.Handler = exampleop.SetupServer(provider.URL, storage.NewStorageWithClients(users, clients), nil, false, op.WithAllowInsecure())
	})
	site = r
	if got := site.client().want("GET", "/session", nil, 200); got.str("methods", "oidc") != "Example IdP" {
		t.Errorf("%s", got.body)
	}
	_, err := r.store.PutUser(t.Context(), catalog.User{ID: "u_oidc", Name: "from the provider", Role: string(api.Auditor), Subject: provider.URL + "|id1", Created: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	// go goes to the provider, signs in there as user, and returns where the provider sends the browser.
	goes := func(c *client, user string) string {
		begun := c.want("GET", "/session/oidc/start?next=/queue%3Fa=1", nil, 302)
		to := begun.header.Get("Location")
		if !strings.Contains(to, "code_challenge_method=S256") || !strings.Contains(to, "nonce=") || !strings.Contains(to, "state=") {
			t.Fatalf("to %s", to)
		}
		jar, _ := cookiejar.New(nil)
		browser := &http.Client{Jar: jar, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(req.URL.String(), r.url) {
				return http.ErrUseLastResponse
			}
			return nil
		}}
		resp, err := browser.Get(to)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		resp, err = browser.PostForm(provider.URL+"/login/username", url.Values{"id": {resp.Request.URL.Query().Get("authRequestID")}, "username": {user}, "password": {"verysecure"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		back := resp.Header.Get("Location")
		if !strings.HasPrefix(back, r.url+"/api/v1/session/oidc/callback?") {
			t.Fatalf("provider sends the browser to %q (%d)", back, resp.StatusCode)
		}
		return strings.TrimPrefix(back, r.url+"/api/v1")
	}
	host := strings.Split(strings.TrimPrefix(provider.URL, "http://"), ":")[0]
	c := r.client()
	back := goes(c, "test-user@"+host)
	// Another browser with the same address gets nothing: the sign-in belongs to the one that began it.
	thief := r.client().with("Sec-Fetch-Site", "cross-site")
	if got := thief.want("GET", back, nil, 302); got.header.Get("Location") != "/?sign_in=failed" || cookieOf(t, got.header, "__Host-palladium") != nil {
		t.Errorf("another browser: %v", got.header)
	}
	back = goes(c, "test-user@"+host)
	got := c.with("Sec-Fetch-Site", "cross-site").want("GET", back, nil, 302)
	if got.header.Get("Location") != "/queue?a=1" {
		t.Fatalf("%v", got.header)
	}
	if me := c.want("GET", "/me", nil, 200); me.str("id") != "u_oidc" || me.str("role") != "auditor" {
		t.Errorf("%s", me.body)
	}
	if got := c.want("GET", back, nil, 302); got.header.Get("Location") != "/?sign_in=failed" { // state is good once
		t.Errorf("%v", got.header)
	}
	stranger := r.client()
	if got := stranger.want("GET", goes(stranger, "test-user2"), nil, 302); got.header.Get("Location") != "/?sign_in=unknown_user" {
		t.Errorf("%v", got.header)
	}
	for _, bad := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "/%09/evil.example", "javascript:alert(1)", "/a\nb"} {
		c := r.client()
		c.want("GET", "/session/oidc/start?next="+url.QueryEscape(bad), nil, 302)
	}
}

func TestTokens(t *testing.T) {
	r := start(t)
	r.people()
	token := r.users[api.Analyst].program(api.ScopeRead, api.ScopeInvestigate)
	if me := token.want("GET", "/me", nil, 200); me.str("via") != "token" {
		t.Errorf("%s", me.body)
	}
	token.want("GET", "/accounts", nil, 200)
	token.refused("POST", "/campaigns/c-one/decisions", draft(nil), "forbidden")
	token.refused("POST", "/tokens", map[string]any{"name": "more", "scopes": []string{"decide"}, "expires": time.Now().Add(time.Hour)}, "forbidden") // a token makes no token
	list := r.users[api.Analyst].want("GET", "/tokens", nil, 200)
	if strings.Contains(string(list.body), "plt_") || list.at("items", 0, "last_used") == nil {
		t.Errorf("%s", list.body)
	}
	id := list.str("items", 0, "id")
	r.users[api.Viewer].refused("DELETE", "/tokens/"+id, nil, "not_found")
	if n := len(r.users[api.Viewer].want("GET", "/tokens", nil, 200).items()); n != 0 {
		t.Errorf("a viewer sees %d tokens of others", n)
	}
	r.users[api.Admin].want("DELETE", "/tokens/"+id, nil, 204)
	token.refused("GET", "/accounts", nil, "not_signed_in")
	for _, bad := range []string{"Bearer plt_nonsense", "Bearer ", "Basic cm9vdDpyb290", "plt_x"} {
		r.client().with("Authorization", bad).refused("GET", "/campaigns", nil, "not_signed_in")
	}
	r.users[api.Analyst].refused("POST", "/tokens", map[string]any{"name": "for ever", "scopes": []string{"read"}, "expires": "2100-01-01T00:00:00Z"}, "bad_request")
	r.users[api.Analyst].refused("POST", "/tokens", map[string]any{"name": "session", "scopes": []string{"session"}, "expires": time.Now().Add(time.Hour)}, "bad_request")
}
