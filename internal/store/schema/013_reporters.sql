-- Whose key a verifier outside the server follows with: what it leaves behind is
-- bounded for each principal.
ALTER TABLE usage_reporters ADD COLUMN principal_id TEXT NOT NULL DEFAULT '';

-- What is known of the use of a workspace's keys begins with who has not said all.
CREATE INDEX usage_reporters_workspace ON usage_reporters (workspace_id, ended_at);
