-- The list of a campaign's members, those that belong most surely first: read backwards, a page is a piece of this index.
CREATE INDEX members_by_membership ON members (campaign, membership, account);
