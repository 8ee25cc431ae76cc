-- What a list of nodes tells of a verifier outside the server, as the node that it
-- follows said at heard_at: over which connection it follows which node, whose account
-- it has the key of, and which change it answers from. follows is '' of all others, and
-- of a verifier that said goodbye. cut_at is when a connection ended without that.
ALTER TABLE usage_reporters ADD COLUMN home_id TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_reporters ADD COLUMN connection TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_reporters ADD COLUMN follows TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_reporters ADD COLUMN acked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_reporters ADD COLUMN cut_at BIGINT;

CREATE INDEX usage_reporters_follows ON usage_reporters (home_id) WHERE follows <> '';
