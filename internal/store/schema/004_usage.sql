-- The processes that answer verifications, each a reporter of how keys are used.
-- What may hold a report up and what may hold a node up are never one row at one
-- time: a report takes its row as the last thing it does.
CREATE TABLE usage_reporters (
	id            TEXT   NOT NULL PRIMARY KEY,
	name          TEXT   NOT NULL,
	kind          TEXT   NOT NULL,
	number        BIGINT NOT NULL, -- of the last report that was taken
	covers        BIGINT NOT NULL, -- all that it accepted before has been reported; 0: nothing is said
	joins         BIGINT NOT NULL, -- how often it became a node, on PostgreSQL
	registered_at BIGINT NOT NULL,
	ended_at      BIGINT           -- NULL: it may accept keys
);

ALTER TABLE nodes ADD COLUMN reporter TEXT NOT NULL DEFAULT '';

-- How often keys were accepted and refused, in steps of a minute, an hour and a
-- day: of a key, of all keys of a principal, of all of a workspace. See
-- usage_state for which of them hold what.
CREATE TABLE usage_points (
	subject_id TEXT   NOT NULL,
	step       BIGINT NOT NULL,
	at         BIGINT NOT NULL,
	ok         BIGINT NOT NULL,
	refused    BIGINT NOT NULL,
	PRIMARY KEY (subject_id, step, at)
)/* WITHOUT ROWID */;

CREATE INDEX usage_points_at ON usage_points (step, at, subject_id);

-- The last use of each key that was ever used. Who adds to what is known of keys
-- takes their rows here first, in the order of their ids.
CREATE TABLE usage_last (
	key_id          TEXT   NOT NULL PRIMARY KEY,
	principal_id    TEXT   NOT NULL,
	workspace_id    TEXT   NOT NULL,
	first_ok_at     BIGINT, -- NULL: it was never accepted
	last_ok_at      BIGINT,
	last_refused_at BIGINT, -- NULL: it was never refused
	ip              TEXT   NOT NULL, -- where it was last accepted from, as far as that is known
	user_agent      TEXT   NOT NULL,
	node            TEXT   NOT NULL,
	told            BIGINT NOT NULL CHECK (told IN (0, 1)) -- whether the audit log knows that it was accepted
);

CREATE INDEX usage_last_principal ON usage_last (principal_id);
CREATE INDEX usage_last_untold ON usage_last (key_id) WHERE told = 0 AND first_ok_at IS NOT NULL;

-- Where each key is used from. Those that are too many are summed in a row with
-- others = 1. gap is the longest time between two uses in the period of thirty
-- days with that number, and gap_before that of the period before.
CREATE TABLE usage_sources (
	key_id     TEXT   NOT NULL,
	others     BIGINT NOT NULL CHECK (others IN (0, 1)),
	ip         TEXT   NOT NULL,
	user_agent TEXT   NOT NULL,
	node       TEXT   NOT NULL,
	first_at   BIGINT NOT NULL,
	last_at    BIGINT NOT NULL,
	last_ok_at BIGINT, -- NULL: it was not accepted from there
	ok         BIGINT NOT NULL,
	refused    BIGINT NOT NULL,
	gap        BIGINT NOT NULL,
	gap_before BIGINT NOT NULL,
	gap_period BIGINT NOT NULL,
	PRIMARY KEY (key_id, others, ip, user_agent)
)/* WITHOUT ROWID */;

-- What is asked for together, by key and day. With others = 1 ids are left out.
CREATE TABLE usage_asks (
	key_id       TEXT   NOT NULL,
	day          BIGINT NOT NULL,
	others       BIGINT NOT NULL CHECK (others IN (0, 1)),
	ask          TEXT   NOT NULL,
	principal_id TEXT   NOT NULL,
	last_at      BIGINT NOT NULL,
	ok           BIGINT NOT NULL,
	refused      BIGINT NOT NULL,
	PRIMARY KEY (key_id, day, others, ask)
)/* WITHOUT ROWID */;

CREATE INDEX usage_asks_principal ON usage_asks (principal_id, day);

-- How far minutes have been added to hours, and hours to days: those before a
-- time, and of that time those of subjects up to an id. dropped_at is the day for
-- which the keys up to dropped_after have been looked through for what is older
-- than the policy of their workspace says.
CREATE TABLE usage_state (
	one           BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
	minutes_to    BIGINT NOT NULL,
	minutes_after TEXT   NOT NULL,
	hours_to      BIGINT NOT NULL,
	hours_after   TEXT   NOT NULL,
	dropped_at    BIGINT NOT NULL,
	dropped_after TEXT   NOT NULL
);

INSERT INTO usage_state (one, minutes_to, minutes_after, hours_to, hours_after, dropped_at, dropped_after)
VALUES (1, 0, '', 0, '', 0, '');
