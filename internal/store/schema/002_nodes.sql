-- The processes that answer verifications from memory. A row is written by its
-- own process, and removed by it, or by whoever finds that the counter did not
-- move for as long as the node may answer after its last renewal.
CREATE TABLE nodes (
	incarnation TEXT   NOT NULL PRIMARY KEY,
	name        TEXT   NOT NULL,
	kind        TEXT   NOT NULL,
	version     TEXT   NOT NULL,
	ttl         BIGINT NOT NULL CHECK (ttl > 0),
	bounded     BIGINT NOT NULL CHECK (bounded >= 0),
	acked       BIGINT NOT NULL,
	counter     BIGINT NOT NULL,
	started_at  BIGINT NOT NULL
);
