-- What campaigns are searched by, folded: id, labels and what the evidence says, a line each. The program fills it, and keeps
-- a copy in memory that it brings up to date by version.
CREATE TABLE campaign_texts (
    campaign TEXT COLLATE "C" PRIMARY KEY REFERENCES campaigns (id) DEFERRABLE INITIALLY DEFERRED,
    text     TEXT COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL -- of the number `texts` when it was written
);
CREATE INDEX campaign_texts_by_version ON campaign_texts (version);
