-- Rotations: each from an old key to a new one that was made for it.
CREATE TABLE rotations (
	id              TEXT   NOT NULL PRIMARY KEY,
	workspace_id    TEXT   NOT NULL REFERENCES workspaces (id),
	principal_id    TEXT   NOT NULL REFERENCES principals (id),
	old_key_id      TEXT   NOT NULL REFERENCES keys (id),
	new_key_id      TEXT   NOT NULL UNIQUE REFERENCES keys (id),
	state           TEXT   NOT NULL,
	quiet_for       BIGINT NOT NULL,
	learnt          BIGINT NOT NULL CHECK (learnt IN (0, 1)),
	auto_revoke     BIGINT NOT NULL CHECK (auto_revoke IN (0, 1)),
	deadline        BIGINT, -- NULL: none
	started_at      BIGINT NOT NULL,
	started_by_id   TEXT   NOT NULL,
	started_by_type TEXT   NOT NULL,
	started_by_name TEXT   NOT NULL,
	first_use_at    BIGINT,
	overdue_at      BIGINT,
	trial           TEXT,   -- the last one, as JSON
	trial_until     BIGINT, -- NULL: none is running
	disturbed_at      BIGINT,
	ended_at        BIGINT, -- NULL: it is open
	ended_by_id     TEXT,
	ended_by_type   TEXT,
	ended_by_name   TEXT,
	version         BIGINT NOT NULL
);

-- A key takes part in one open rotation at most.
CREATE UNIQUE INDEX rotations_open_key ON rotations (old_key_id) WHERE ended_at IS NULL;
CREATE INDEX rotations_open ON rotations (id) WHERE ended_at IS NULL;
CREATE INDEX rotations_trials ON rotations (trial_until) WHERE trial_until IS NOT NULL;
CREATE INDEX rotations_listed ON rotations (workspace_id, started_at, id);
CREATE INDEX rotations_old_key ON rotations (old_key_id);
CREATE INDEX rotations_principal ON rotations (principal_id);
