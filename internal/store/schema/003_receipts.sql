-- The receipts of changes, each inserted by the change itself. They refer to
-- nothing, for they outlast everything they name.
CREATE TABLE receipts (
	id           TEXT   NOT NULL PRIMARY KEY,
	workspace_id TEXT   NOT NULL,
	maker_id     TEXT   NOT NULL, -- empty: Postern itself
	revision     BIGINT NOT NULL,
	decided_at   BIGINT NOT NULL,
	keys_stopped BIGINT NOT NULL,
	confirmation TEXT -- what was confirmed, and by whom; NULL: that is not known here
);
