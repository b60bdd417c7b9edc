-- Times are Unix milliseconds; lists and other nested values are JSON text. SQLite's file has the same tables, columns and order.

CREATE TABLE numbers (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE campaigns (
    id                         TEXT COLLATE "C" PRIMARY KEY,
    revision                   BIGINT NOT NULL,
    updated                    BIGINT NOT NULL,
    stage                      TEXT COLLATE "C" NOT NULL,
    peak                       TEXT COLLATE "C" NOT NULL,
    operator_p                 DOUBLE PRECISION NOT NULL,
    extraction_p               DOUBLE PRECISION NOT NULL,
    first                      BIGINT NOT NULL,
    last                       BIGINT NOT NULL,
    detected_at                BIGINT,
    exchanges                  BIGINT NOT NULL,
    exchanges_before_detection BIGINT NOT NULL,
    tokens_input               BIGINT NOT NULL,
    tokens_output              BIGINT NOT NULL,
    tokens_reasoning           BIGINT NOT NULL,
    evidence                   TEXT COLLATE "C" NOT NULL,
    counter_evidence           TEXT COLLATE "C" NOT NULL,
    techniques                 TEXT COLLATE "C" NOT NULL,
    risk                       DOUBLE PRECISION NOT NULL,
    trend                      DOUBLE PRECISION NOT NULL,
    size                       BIGINT NOT NULL,
    gone                       BIGINT,
    why_not                    TEXT COLLATE "C" NOT NULL,
    features                   TEXT COLLATE "C" NOT NULL,
    detail                     TEXT COLLATE "C" NOT NULL, -- digest of what the detector said, its row in details
    state                      TEXT COLLATE "C" NOT NULL,
    resolution                 TEXT COLLATE "C" NOT NULL,
    assignee                   TEXT COLLATE "C" NOT NULL,
    deadline                   BIGINT,
    labels                     TEXT COLLATE "C" NOT NULL,
    urgency                    BIGINT NOT NULL -- orders by deadline, those without one last
);
CREATE INDEX campaigns_by_risk ON campaigns (risk, id);
CREATE INDEX campaigns_by_draw ON campaigns (tokens_output, id);
CREATE INDEX campaigns_by_size ON campaigns (size, id);
CREATE INDEX campaigns_by_updated ON campaigns (updated, id);
CREATE INDEX campaigns_by_urgency ON campaigns (urgency, id);
CREATE INDEX campaigns_by_stage ON campaigns (stage, state);

CREATE TABLE details (
    digest   TEXT COLLATE "C" PRIMARY KEY,
    campaign TEXT COLLATE "C" NOT NULL REFERENCES campaigns (id) DEFERRABLE INITIALLY DEFERRED,
    data     BYTEA NOT NULL -- zstd of the JSON of what the detector said, with members and detail
);
CREATE INDEX details_by_campaign ON details (campaign);

CREATE TABLE members (
    campaign         TEXT COLLATE "C" NOT NULL REFERENCES campaigns (id) DEFERRABLE INITIALLY DEFERRED,
    account          TEXT COLLATE "C" NOT NULL,
    membership       DOUBLE PRECISION NOT NULL,
    exchanges        BIGINT NOT NULL,
    tokens_input     BIGINT NOT NULL,
    tokens_output    BIGINT NOT NULL,
    tokens_reasoning BIGINT NOT NULL,
    first            BIGINT,
    last             BIGINT,
    families         BIGINT NOT NULL, -- one bit each, in the order of palladium.Families
    evidence         TEXT COLLATE "C" NOT NULL,
    hash             BIGINT NOT NULL,
    PRIMARY KEY (campaign, account)
);
CREATE INDEX members_by_account ON members (account);

CREATE TABLE links (
    campaign TEXT COLLATE "C" NOT NULL REFERENCES campaigns (id) DEFERRABLE INITIALLY DEFERRED,
    account  TEXT COLLATE "C" NOT NULL,
    token    TEXT COLLATE "C" NOT NULL,
    family   TEXT COLLATE "C" NOT NULL,
    weight   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (campaign, family, token, account)
);
CREATE INDEX links_by_account ON links (account);
CREATE INDEX links_by_token ON links (token, account);

CREATE TABLE labels (
    id       TEXT COLLATE "C" PRIMARY KEY,
    campaign TEXT COLLATE "C" NOT NULL,
    accounts TEXT COLLATE "C" NOT NULL,
    benign   BOOLEAN NOT NULL,
    why      TEXT COLLATE "C" NOT NULL,
    author   TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL
);
CREATE INDEX labels_by_time ON labels (at, id);
CREATE INDEX labels_by_campaign ON labels (campaign);

CREATE TABLE accounts (
    id               TEXT COLLATE "C" PRIMARY KEY,
    created          BIGINT,
    organization     TEXT COLLATE "C" NOT NULL,
    plan             TEXT COLLATE "C" NOT NULL,
    email_domain     TEXT COLLATE "C" NOT NULL,
    email_shape      TEXT COLLATE "C" NOT NULL,
    payment          TEXT COLLATE "C" NOT NULL,
    bin              TEXT COLLATE "C" NOT NULL,
    phone_prefix     TEXT COLLATE "C" NOT NULL,
    device           TEXT COLLATE "C" NOT NULL,
    signup_ip        TEXT COLLATE "C" NOT NULL,
    verified         TEXT COLLATE "C" NOT NULL,
    relation         TEXT COLLATE "C" NOT NULL,
    exchanges        BIGINT NOT NULL,
    tokens_input     BIGINT NOT NULL,
    tokens_output    BIGINT NOT NULL,
    tokens_reasoning BIGINT NOT NULL,
    first            BIGINT,
    last             BIGINT,
    recency          BIGINT NOT NULL, -- last, or 0
    updated          BIGINT NOT NULL
);
CREATE INDEX accounts_by_output ON accounts (tokens_output, id);
CREATE INDEX accounts_by_organization ON accounts (organization) WHERE organization <> '';
CREATE INDEX accounts_by_payment ON accounts (payment) WHERE payment <> '';
CREATE INDEX accounts_by_device ON accounts (device) WHERE device <> '';
CREATE INDEX accounts_by_signup_ip ON accounts (signup_ip) WHERE signup_ip <> '';

CREATE TABLE decisions (
    id                TEXT COLLATE "C" PRIMARY KEY,
    revision          BIGINT NOT NULL,
    campaign          TEXT COLLATE "C" NOT NULL,
    measure           TEXT COLLATE "C" NOT NULL,
    accounts          BIGINT NOT NULL,
    reason            TEXT COLLATE "C" NOT NULL,
    says              TEXT COLLATE "C" NOT NULL,
    decided_by        TEXT COLLATE "C" NOT NULL,
    automated         BOOLEAN NOT NULL,
    at                BIGINT NOT NULL,
    expires           BIGINT NOT NULL,
    state             TEXT COLLATE "C" NOT NULL,
    approval          TEXT COLLATE "C" NOT NULL,
    seen              BOOLEAN NOT NULL,
    undone_by         TEXT COLLATE "C" NOT NULL,
    undone_at         BIGINT,
    delay             BIGINT NOT NULL, -- nanoseconds
    tokens_per_second DOUBLE PRECISION NOT NULL,
    tokens            BIGINT NOT NULL,
    model             TEXT COLLATE "C" NOT NULL,
    detail            TEXT COLLATE "C" NOT NULL DEFAULT '' -- what the detector said of the campaign: a row of details
);
CREATE INDEX decisions_by_time ON decisions (at, id);
CREATE INDEX decisions_by_campaign ON decisions (campaign, at, id);
CREATE INDEX decisions_by_detail ON decisions (detail) WHERE detail <> '';
CREATE INDEX decisions_by_expiry ON decisions (expires) WHERE state IN ('pending', 'enforced', 'shadow');

CREATE TABLE verdicts (
    id                TEXT COLLATE "C" PRIMARY KEY,
    account           TEXT COLLATE "C" NOT NULL,
    campaign          TEXT COLLATE "C" NOT NULL,
    stage             TEXT COLLATE "C" NOT NULL,
    measure           TEXT COLLATE "C" NOT NULL,
    reason            TEXT COLLATE "C" NOT NULL,
    issued            BIGINT NOT NULL,
    expires           BIGINT NOT NULL,
    appeal            TEXT COLLATE "C" NOT NULL,
    delay             BIGINT NOT NULL, -- nanoseconds
    tokens_per_second DOUBLE PRECISION NOT NULL,
    tokens            BIGINT NOT NULL,
    model             TEXT COLLATE "C" NOT NULL,
    state             TEXT COLLATE "C" NOT NULL,
    decision          TEXT COLLATE "C" NOT NULL,
    decided_by        TEXT COLLATE "C" NOT NULL,
    automated         BOOLEAN NOT NULL,
    policy_revision   TEXT COLLATE "C" NOT NULL,
    approval          TEXT COLLATE "C" NOT NULL,
    explanation       TEXT COLLATE "C" NOT NULL,
    revoked_at        BIGINT,
    revoked_by        TEXT COLLATE "C" NOT NULL,
    revoke_reason     TEXT COLLATE "C" NOT NULL,
    ledger_index      BIGINT NOT NULL
);
CREATE INDEX verdicts_by_time ON verdicts (issued, id);
CREATE INDEX verdicts_by_account ON verdicts (account, issued, id);
CREATE INDEX verdicts_by_campaign ON verdicts (campaign, issued, id);
CREATE INDEX verdicts_by_decision ON verdicts (decision);
CREATE INDEX verdicts_by_appeal ON verdicts (appeal) WHERE appeal <> '';
CREATE INDEX verdicts_by_expiry ON verdicts (expires) WHERE state IN ('proposed', 'pending', 'enforced', 'shadow');
CREATE INDEX verdicts_in_force ON verdicts (campaign, measure, state, expires, issued) WHERE state IN ('enforced', 'shadow');

CREATE TABLE approvals (
    id           TEXT COLLATE "C" PRIMARY KEY,
    revision     BIGINT NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    request      TEXT COLLATE "C" NOT NULL,
    requested_by TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    expires      BIGINT NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    decided_by   TEXT COLLATE "C" NOT NULL,
    decided_at   BIGINT,
    comment      TEXT COLLATE "C" NOT NULL
);
CREATE INDEX approvals_by_time ON approvals (at, id);
CREATE INDEX approvals_by_expiry ON approvals (expires) WHERE state = 'open';

CREATE TABLE cases (
    id         TEXT COLLATE "C" PRIMARY KEY,
    revision   BIGINT NOT NULL,
    campaign   TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    resolution TEXT COLLATE "C" NOT NULL,
    assignee   TEXT COLLATE "C" NOT NULL,
    opened     BIGINT NOT NULL,
    due        BIGINT,
    closed     BIGINT,
    urgency    BIGINT NOT NULL -- orders the list
);
CREATE INDEX cases_by_urgency ON cases (urgency, id);
CREATE INDEX cases_by_campaign ON cases (campaign);
CREATE INDEX cases_by_account ON cases (account);

CREATE TABLE notes (
    id      TEXT COLLATE "C" PRIMARY KEY,
    case_id TEXT COLLATE "C" NOT NULL REFERENCES cases (id),
    author  TEXT COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    says    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX notes_by_case ON notes (case_id, at, id);

CREATE TABLE notices (
    id         TEXT COLLATE "C" PRIMARY KEY,
    account    TEXT COLLATE "C" NOT NULL,
    verdict    TEXT COLLATE "C" NOT NULL,
    decision   TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    measure    TEXT COLLATE "C" NOT NULL,
    automated  BOOLEAN NOT NULL,
    scope      TEXT COLLATE "C" NOT NULL,
    says       TEXT COLLATE "C" NOT NULL,
    expires    BIGINT NOT NULL,
    appeal_ref TEXT COLLATE "C" NOT NULL
);
CREATE INDEX notices_by_time ON notices (at, id);
CREATE INDEX notices_by_account ON notices (account, at, id);
CREATE INDEX notices_by_decision ON notices (decision);
CREATE INDEX notices_by_ref ON notices (appeal_ref) WHERE appeal_ref <> '';

CREATE TABLE appeals (
    id         TEXT COLLATE "C" PRIMARY KEY,
    revision   BIGINT NOT NULL,
    ref        TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    decision   TEXT COLLATE "C" NOT NULL,
    verdict    TEXT COLLATE "C" NOT NULL,
    contact    TEXT COLLATE "C" NOT NULL,
    says       TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    due        BIGINT NOT NULL,
    state      TEXT COLLATE "C" NOT NULL,
    reviewer   TEXT COLLATE "C" NOT NULL,
    decided_at BIGINT,
    reply      TEXT COLLATE "C" NOT NULL,
    restored   BOOLEAN NOT NULL,
    urgency    BIGINT NOT NULL -- orders the list
);
CREATE INDEX appeals_by_urgency ON appeals (urgency, id);
CREATE INDEX appeals_by_account ON appeals (account);
CREATE INDEX appeals_by_ref ON appeals (ref);
CREATE UNIQUE INDEX appeals_open ON appeals (ref) WHERE state IN ('open', 'in_review');

CREATE TABLE allows (
    id         TEXT COLLATE "C" PRIMARY KEY,
    revision   BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by TEXT COLLATE "C" NOT NULL
);
CREATE INDEX allows_by_expiry ON allows (expires, id);
CREATE INDEX allows_by_subject ON allows (subject);

CREATE TABLE policies (
    id           TEXT COLLATE "C" PRIMARY KEY,
    kind         TEXT COLLATE "C" NOT NULL,
    revision     TEXT COLLATE "C" NOT NULL,
    says         TEXT COLLATE "C" NOT NULL,
    author       TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    active       BOOLEAN NOT NULL,
    activated_by TEXT COLLATE "C" NOT NULL,
    activated_at BIGINT
);
CREATE INDEX policies_by_time ON policies (at, id);
CREATE UNIQUE INDEX policies_active ON policies (kind) WHERE active = TRUE;

CREATE TABLE users (
    id            TEXT COLLATE "C" PRIMARY KEY,
    revision      BIGINT NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    login         TEXT COLLATE "C" NOT NULL UNIQUE, -- name in lower case
    email         TEXT COLLATE "C" NOT NULL,
    role          TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    totp          BYTEA NOT NULL, -- sealed
    totp_step     BIGINT NOT NULL,
    passkeys      TEXT COLLATE "C" NOT NULL,
    handle        TEXT COLLATE "C" NOT NULL, -- hexadecimal
    disabled      BOOLEAN NOT NULL,
    created       BIGINT NOT NULL,
    last_login    BIGINT
);
CREATE UNIQUE INDEX users_by_subject ON users (subject) WHERE subject <> '';
CREATE UNIQUE INDEX users_by_handle ON users (handle) WHERE handle <> '';

CREATE TABLE sessions (
    id      TEXT COLLATE "C" PRIMARY KEY, -- hash of the secret
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    method  TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    seen    BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    data    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires);

CREATE TABLE tokens (
    id         TEXT COLLATE "C" PRIMARY KEY,
    user_id    TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    name       TEXT COLLATE "C" NOT NULL,
    hash       TEXT COLLATE "C" NOT NULL UNIQUE,
    scopes     TEXT COLLATE "C" NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    last_used  BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT COLLATE "C" NOT NULL
);
CREATE INDEX tokens_by_time ON tokens (created, id);
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE tickets (
    id      TEXT COLLATE "C" PRIMARY KEY, -- hash of the secret
    kind    TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    data    TEXT COLLATE "C" NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX tickets_by_expiry ON tickets (expires);

CREATE TABLE requests (
    key     TEXT COLLATE "C" PRIMARY KEY,
    digest  TEXT COLLATE "C" NOT NULL,
    done    BOOLEAN NOT NULL,
    status  BIGINT NOT NULL,
    answer  BYTEA NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX requests_by_expiry ON requests (expires);

CREATE TABLE events (
    seq          BIGINT PRIMARY KEY,
    at           BIGINT NOT NULL,
    actor        TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    refs         TEXT COLLATE "C" NOT NULL,
    data         TEXT COLLATE "C" NOT NULL,
    ledger_index BIGINT NOT NULL
);

CREATE TABLE event_refs (
    subject TEXT COLLATE "C" NOT NULL,
    seq     BIGINT NOT NULL REFERENCES events (seq),
    PRIMARY KEY (subject, seq)
);

CREATE TABLE deliveries (
    id         TEXT COLLATE "C" PRIMARY KEY,
    sink       TEXT COLLATE "C" NOT NULL,
    event      TEXT COLLATE "C" NOT NULL,
    attempts   BIGINT NOT NULL,
    next       BIGINT NOT NULL,
    done       BIGINT,
    dead       BOOLEAN NOT NULL,
    last_error TEXT COLLATE "C" NOT NULL,
    UNIQUE (sink, event)
);
CREATE INDEX deliveries_by_time ON deliveries (next, id);
CREATE INDEX deliveries_due ON deliveries (next, id) WHERE done IS NULL AND dead = FALSE;

CREATE TABLE artifacts (
    id         TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    path       TEXT COLLATE "C" NOT NULL,
    signed     TEXT COLLATE "C" NOT NULL,
    inspected  TEXT COLLATE "C" NOT NULL,
    signature  TEXT COLLATE "C" NOT NULL,
    inspection TEXT COLLATE "C" NOT NULL,
    lineage    TEXT COLLATE "C" NOT NULL,
    load_count BIGINT NOT NULL,
    updated    BIGINT NOT NULL
);
CREATE INDEX artifacts_by_name ON artifacts (name, id);

CREATE TABLE loads (
    artifact     TEXT COLLATE "C" NOT NULL REFERENCES artifacts (id),
    number       BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    loaded_by    TEXT COLLATE "C" NOT NULL,
    host         TEXT COLLATE "C" NOT NULL,
    allowed      BOOLEAN NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    ledger_index BIGINT NOT NULL,
    PRIMARY KEY (artifact, number)
);

CREATE TABLE credentials (
    id                  TEXT COLLATE "C" PRIMARY KEY,
    revision            BIGINT NOT NULL,
    account             TEXT COLLATE "C" NOT NULL,
    organization        TEXT COLLATE "C" NOT NULL,
    plan                TEXT COLLATE "C" NOT NULL,
    models              TEXT COLLATE "C" NOT NULL,
    endpoints           TEXT COLLATE "C" NOT NULL,
    features            TEXT COLLATE "C" NOT NULL,
    budgets             TEXT COLLATE "C" NOT NULL,
    requests_per_minute BIGINT NOT NULL,
    tokens_per_minute   BIGINT NOT NULL,
    note                TEXT COLLATE "C" NOT NULL,
    created             BIGINT NOT NULL,
    expires             BIGINT,
    rotated             BIGINT,
    revoked             BIGINT,
    reason              TEXT COLLATE "C" NOT NULL,
    digests             TEXT COLLATE "C" NOT NULL
);
CREATE INDEX credentials_by_time ON credentials (created, id);
CREATE INDEX credentials_by_account ON credentials (account);
