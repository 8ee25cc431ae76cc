-- What the audit log is narrowed by, each index in the order of its pages: see
-- events_find.go.
DROP INDEX events_at;
CREATE INDEX events_at ON events (workspace_id, at, seq);
CREATE INDEX events_action ON events (workspace_id, action, actor_type, outcome, seq);
CREATE INDEX events_outcome ON events (workspace_id, actor_type, outcome, seq);

-- With what keys are searched by, so that a search reads nothing else.
DROP INDEX keys_listed;
CREATE INDEX keys_listed ON keys (workspace_id, created_at, id, name_folded, principal_id);

-- Few keys are paused, and whoever looks for them would read all others.
CREATE INDEX keys_paused ON keys (workspace_id, created_at, id) WHERE pauses <> '';
