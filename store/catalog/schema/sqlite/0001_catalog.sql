-- Times are Unix milliseconds; lists and other nested values are JSON text. PostgreSQL's file has the same tables, columns and order.

CREATE TABLE numbers (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE campaigns (
    id                         TEXT PRIMARY KEY,
    revision                   INTEGER NOT NULL,
    updated                    INTEGER NOT NULL,
    stage                      TEXT NOT NULL,
    peak                       TEXT NOT NULL,
    operator_p                 REAL NOT NULL,
    extraction_p               REAL NOT NULL,
    first                      INTEGER NOT NULL,
    last                       INTEGER NOT NULL,
    detected_at                INTEGER,
    exchanges                  INTEGER NOT NULL,
    exchanges_before_detection INTEGER NOT NULL,
    tokens_input               INTEGER NOT NULL,
    tokens_output              INTEGER NOT NULL,
    tokens_reasoning           INTEGER NOT NULL,
    evidence                   TEXT NOT NULL,
    counter_evidence           TEXT NOT NULL,
    techniques                 TEXT NOT NULL,
    risk                       REAL NOT NULL,
    trend                      REAL NOT NULL,
    size                       INTEGER NOT NULL,
    gone                       INTEGER,
    why_not                    TEXT NOT NULL,
    features                   TEXT NOT NULL,
    detail                     TEXT NOT NULL, -- digest of what the detector said, its row in details
    state                      TEXT NOT NULL,
    resolution                 TEXT NOT NULL,
    assignee                   TEXT NOT NULL,
    deadline                   INTEGER,
    labels                     TEXT NOT NULL,
    urgency                    INTEGER NOT NULL -- orders by deadline, those without one last
) STRICT;
CREATE INDEX campaigns_by_risk ON campaigns (risk, id);
CREATE INDEX campaigns_by_draw ON campaigns (tokens_output, id);
CREATE INDEX campaigns_by_size ON campaigns (size, id);
CREATE INDEX campaigns_by_updated ON campaigns (updated, id);
CREATE INDEX campaigns_by_urgency ON campaigns (urgency, id);
CREATE INDEX campaigns_by_stage ON campaigns (stage, state);

CREATE TABLE details (
    digest   TEXT PRIMARY KEY,
    campaign TEXT NOT NULL REFERENCES campaigns (id) DEFERRABLE INITIALLY DEFERRED,
    data     BLOB NOT NULL -- zstd of the JSON of what the detector said, with members and detail
) STRICT;
CREATE INDEX details_by_campaign ON details (campaign);

CREATE TABLE members (
    campaign         TEXT NOT NULL REFERENCES campaigns (id) DEFERRABLE INITIALLY DEFERRED,
    account          TEXT NOT NULL,
    membership       REAL NOT NULL,
    exchanges        INTEGER NOT NULL,
    tokens_input     INTEGER NOT NULL,
    tokens_output    INTEGER NOT NULL,
    tokens_reasoning INTEGER NOT NULL,
    first            INTEGER,
    last             INTEGER,
    families         INTEGER NOT NULL, -- one bit each, in the order of palladium.Families
    evidence         TEXT NOT NULL,
    hash             INTEGER NOT NULL,
    PRIMARY KEY (campaign, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_account ON members (account);

CREATE TABLE links (
    campaign TEXT NOT NULL REFERENCES campaigns (id) DEFERRABLE INITIALLY DEFERRED,
    account  TEXT NOT NULL,
    token    TEXT NOT NULL,
    family   TEXT NOT NULL,
    weight   REAL NOT NULL,
    PRIMARY KEY (campaign, family, token, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_account ON links (account);
CREATE INDEX links_by_token ON links (token, account);

CREATE TABLE labels (
    id       TEXT PRIMARY KEY,
    campaign TEXT NOT NULL,
    accounts TEXT NOT NULL,
    benign   INTEGER NOT NULL,
    why      TEXT NOT NULL,
    author   TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE INDEX labels_by_time ON labels (at, id);
CREATE INDEX labels_by_campaign ON labels (campaign);

CREATE TABLE accounts (
    id               TEXT PRIMARY KEY,
    created          INTEGER,
    organization     TEXT NOT NULL,
    plan             TEXT NOT NULL,
    email_domain     TEXT NOT NULL,
    email_shape      TEXT NOT NULL,
    payment          TEXT NOT NULL,
    bin              TEXT NOT NULL,
    phone_prefix     TEXT NOT NULL,
    device           TEXT NOT NULL,
    signup_ip        TEXT NOT NULL,
    verified         TEXT NOT NULL,
    relation         TEXT NOT NULL,
    exchanges        INTEGER NOT NULL,
    tokens_input     INTEGER NOT NULL,
    tokens_output    INTEGER NOT NULL,
    tokens_reasoning INTEGER NOT NULL,
    first            INTEGER,
    last             INTEGER,
    recency          INTEGER NOT NULL, -- last, or 0
    updated          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_by_output ON accounts (tokens_output, id);
CREATE INDEX accounts_by_organization ON accounts (organization) WHERE organization <> '';
CREATE INDEX accounts_by_payment ON accounts (payment) WHERE payment <> '';
CREATE INDEX accounts_by_device ON accounts (device) WHERE device <> '';
CREATE INDEX accounts_by_signup_ip ON accounts (signup_ip) WHERE signup_ip <> '';

CREATE TABLE decisions (
    id                TEXT PRIMARY KEY,
    revision          INTEGER NOT NULL,
    campaign          TEXT NOT NULL,
    measure           TEXT NOT NULL,
    accounts          INTEGER NOT NULL,
    reason            TEXT NOT NULL,
    says              TEXT NOT NULL,
    decided_by        TEXT NOT NULL,
    automated         INTEGER NOT NULL,
    at                INTEGER NOT NULL,
    expires           INTEGER NOT NULL,
    state             TEXT NOT NULL,
    approval          TEXT NOT NULL,
    seen              INTEGER NOT NULL,
    undone_by         TEXT NOT NULL,
    undone_at         INTEGER,
    delay             INTEGER NOT NULL, -- nanoseconds
    tokens_per_second REAL NOT NULL,
    tokens            INTEGER NOT NULL,
    model             TEXT NOT NULL,
    detail            TEXT NOT NULL DEFAULT '' -- what the detector said of the campaign: a row of details
) STRICT;
CREATE INDEX decisions_by_time ON decisions (at, id);
CREATE INDEX decisions_by_campaign ON decisions (campaign, at, id);
CREATE INDEX decisions_by_detail ON decisions (detail) WHERE detail <> '';
CREATE INDEX decisions_by_expiry ON decisions (expires) WHERE state IN ('pending', 'enforced', 'shadow');

CREATE TABLE verdicts (
    id                TEXT PRIMARY KEY,
    account           TEXT NOT NULL,
    campaign          TEXT NOT NULL,
    stage             TEXT NOT NULL,
    measure           TEXT NOT NULL,
    reason            TEXT NOT NULL,
    issued            INTEGER NOT NULL,
    expires           INTEGER NOT NULL,
    appeal            TEXT NOT NULL,
    delay             INTEGER NOT NULL, -- nanoseconds
    tokens_per_second REAL NOT NULL,
    tokens            INTEGER NOT NULL,
    model             TEXT NOT NULL,
    state             TEXT NOT NULL,
    decision          TEXT NOT NULL,
    decided_by        TEXT NOT NULL,
    automated         INTEGER NOT NULL,
    policy_revision   TEXT NOT NULL,
    approval          TEXT NOT NULL,
    explanation       TEXT NOT NULL,
    revoked_at        INTEGER,
    revoked_by        TEXT NOT NULL,
    revoke_reason     TEXT NOT NULL,
    ledger_index      INTEGER NOT NULL
) STRICT;
CREATE INDEX verdicts_by_time ON verdicts (issued, id);
CREATE INDEX verdicts_by_account ON verdicts (account, issued, id);
CREATE INDEX verdicts_by_campaign ON verdicts (campaign, issued, id);
CREATE INDEX verdicts_by_decision ON verdicts (decision);
CREATE INDEX verdicts_by_appeal ON verdicts (appeal) WHERE appeal <> '';
CREATE INDEX verdicts_by_expiry ON verdicts (expires) WHERE state IN ('proposed', 'pending', 'enforced', 'shadow');
CREATE INDEX verdicts_in_force ON verdicts (campaign, measure, state, expires, issued) WHERE state IN ('enforced', 'shadow');

CREATE TABLE approvals (
    id           TEXT PRIMARY KEY,
    revision     INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    request      TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    reason       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    state        TEXT NOT NULL,
    decided_by   TEXT NOT NULL,
    decided_at   INTEGER,
    comment      TEXT NOT NULL
) STRICT;
CREATE INDEX approvals_by_time ON approvals (at, id);
CREATE INDEX approvals_by_expiry ON approvals (expires) WHERE state = 'open';

CREATE TABLE cases (
    id         TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    campaign   TEXT NOT NULL,
    account    TEXT NOT NULL,
    state      TEXT NOT NULL,
    resolution TEXT NOT NULL,
    assignee   TEXT NOT NULL,
    opened     INTEGER NOT NULL,
    due        INTEGER,
    closed     INTEGER,
    urgency    INTEGER NOT NULL -- orders the list
) STRICT;
CREATE INDEX cases_by_urgency ON cases (urgency, id);
CREATE INDEX cases_by_campaign ON cases (campaign);
CREATE INDEX cases_by_account ON cases (account);

CREATE TABLE notes (
    id      TEXT PRIMARY KEY,
    case_id TEXT NOT NULL REFERENCES cases (id),
    author  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    says    TEXT NOT NULL
) STRICT;
CREATE INDEX notes_by_case ON notes (case_id, at, id);

CREATE TABLE notices (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    verdict    TEXT NOT NULL,
    decision   TEXT NOT NULL,
    at         INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    measure    TEXT NOT NULL,
    automated  INTEGER NOT NULL,
    scope      TEXT NOT NULL,
    says       TEXT NOT NULL,
    expires    INTEGER NOT NULL,
    appeal_ref TEXT NOT NULL
) STRICT;
CREATE INDEX notices_by_time ON notices (at, id);
CREATE INDEX notices_by_account ON notices (account, at, id);
CREATE INDEX notices_by_decision ON notices (decision);
CREATE INDEX notices_by_ref ON notices (appeal_ref) WHERE appeal_ref <> '';

CREATE TABLE appeals (
    id         TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    ref        TEXT NOT NULL,
    account    TEXT NOT NULL,
    decision   TEXT NOT NULL,
    verdict    TEXT NOT NULL,
    contact    TEXT NOT NULL,
    says       TEXT NOT NULL,
    at         INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    state      TEXT NOT NULL,
    reviewer   TEXT NOT NULL,
    decided_at INTEGER,
    reply      TEXT NOT NULL,
    restored   INTEGER NOT NULL,
    urgency    INTEGER NOT NULL -- orders the list
) STRICT;
CREATE INDEX appeals_by_urgency ON appeals (urgency, id);
CREATE INDEX appeals_by_account ON appeals (account);
CREATE INDEX appeals_by_ref ON appeals (ref);
CREATE UNIQUE INDEX appeals_open ON appeals (ref) WHERE state IN ('open', 'in_review');

CREATE TABLE allows (
    id         TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    owner      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT NOT NULL
) STRICT;
CREATE INDEX allows_by_expiry ON allows (expires, id);
CREATE INDEX allows_by_subject ON allows (subject);

CREATE TABLE policies (
    id           TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    revision     TEXT NOT NULL,
    says         TEXT NOT NULL,
    author       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    active       INTEGER NOT NULL,
    activated_by TEXT NOT NULL,
    activated_at INTEGER
) STRICT;
CREATE INDEX policies_by_time ON policies (at, id);
CREATE UNIQUE INDEX policies_active ON policies (kind) WHERE active = TRUE;

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    revision      INTEGER NOT NULL,
    name          TEXT NOT NULL,
    login         TEXT NOT NULL UNIQUE, -- name in lower case
    email         TEXT NOT NULL,
    role          TEXT NOT NULL,
    subject       TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    totp          BLOB NOT NULL, -- sealed
    totp_step     INTEGER NOT NULL,
    passkeys      TEXT NOT NULL,
    handle        TEXT NOT NULL, -- hexadecimal
    disabled      INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    last_login    INTEGER
) STRICT;
CREATE UNIQUE INDEX users_by_subject ON users (subject) WHERE subject <> '';
CREATE UNIQUE INDEX users_by_handle ON users (handle) WHERE handle <> '';

CREATE TABLE sessions (
    id      TEXT PRIMARY KEY, -- hash of the secret
    user_id TEXT NOT NULL REFERENCES users (id),
    method  TEXT NOT NULL,
    created INTEGER NOT NULL,
    seen    INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    data    TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires);

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    name       TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    scopes     TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    last_used  INTEGER,
    revoked_at INTEGER,
    revoked_by TEXT NOT NULL
) STRICT;
CREATE INDEX tokens_by_time ON tokens (created, id);
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE tickets (
    id      TEXT PRIMARY KEY, -- hash of the secret
    kind    TEXT NOT NULL,
    user_id TEXT NOT NULL,
    data    TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX tickets_by_expiry ON tickets (expires);

CREATE TABLE requests (
    key     TEXT PRIMARY KEY,
    digest  TEXT NOT NULL,
    done    INTEGER NOT NULL,
    status  INTEGER NOT NULL,
    answer  BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX requests_by_expiry ON requests (expires);

CREATE TABLE events (
    seq          INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    refs         TEXT NOT NULL,
    data         TEXT NOT NULL,
    ledger_index INTEGER NOT NULL
) STRICT;

CREATE TABLE event_refs (
    subject TEXT NOT NULL,
    seq     INTEGER NOT NULL REFERENCES events (seq),
    PRIMARY KEY (subject, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    id         TEXT PRIMARY KEY,
    sink       TEXT NOT NULL,
    event      TEXT NOT NULL,
    attempts   INTEGER NOT NULL,
    next       INTEGER NOT NULL,
    done       INTEGER,
    dead       INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    UNIQUE (sink, event)
) STRICT;
CREATE INDEX deliveries_by_time ON deliveries (next, id);
CREATE INDEX deliveries_due ON deliveries (next, id) WHERE done IS NULL AND dead = FALSE;

CREATE TABLE artifacts (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    path       TEXT NOT NULL,
    signed     TEXT NOT NULL,
    inspected  TEXT NOT NULL,
    signature  TEXT NOT NULL,
    inspection TEXT NOT NULL,
    lineage    TEXT NOT NULL,
    load_count INTEGER NOT NULL,
    updated    INTEGER NOT NULL
) STRICT;
CREATE INDEX artifacts_by_name ON artifacts (name, id);

CREATE TABLE loads (
    artifact     TEXT NOT NULL REFERENCES artifacts (id),
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    loaded_by    TEXT NOT NULL,
    host         TEXT NOT NULL,
    allowed      INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    ledger_index INTEGER NOT NULL,
    PRIMARY KEY (artifact, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    id                  TEXT PRIMARY KEY,
    revision            INTEGER NOT NULL,
    account             TEXT NOT NULL,
    organization        TEXT NOT NULL,
    plan                TEXT NOT NULL,
    models              TEXT NOT NULL,
    endpoints           TEXT NOT NULL,
    features            TEXT NOT NULL,
    budgets             TEXT NOT NULL,
    requests_per_minute INTEGER NOT NULL,
    tokens_per_minute   INTEGER NOT NULL,
    note                TEXT NOT NULL,
    created             INTEGER NOT NULL,
    expires             INTEGER,
    rotated             INTEGER,
    revoked             INTEGER,
    reason              TEXT NOT NULL,
    digests             TEXT NOT NULL
) STRICT;
CREATE INDEX credentials_by_time ON credentials (created, id);
CREATE INDEX credentials_by_account ON credentials (account);
