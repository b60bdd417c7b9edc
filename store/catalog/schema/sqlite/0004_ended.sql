-- Whom people let go, newest last: policy's own revocations, which are most, are not in it. The terms are those of the query.
CREATE INDEX verdicts_by_release ON verdicts (revoked_at) WHERE revoked_at IS NOT NULL AND substr(revoked_by, 1, 7) <> 'policy:';
-- Decisions that have ended, oldest first, and what they were appealed against by: what is kept for no longer than it has to be is found by these.
CREATE INDEX decisions_by_end ON decisions (expires, id) WHERE state IN ('revoked', 'expired', 'refused');
CREATE INDEX appeals_by_decision ON appeals (decision) WHERE decision <> '';
