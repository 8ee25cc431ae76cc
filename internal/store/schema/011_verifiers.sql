-- Verifiers outside the server report uses too. One may accept the keys of one
-- workspace, or of all: '', as every server does. It is no node, so that only when it
-- was last heard of tells that it has ended.
ALTER TABLE usage_reporters ADD COLUMN workspace_id TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_reporters ADD COLUMN heard_at BIGINT NOT NULL DEFAULT 0;
