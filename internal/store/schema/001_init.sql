-- One text for SQLite and PostgreSQL: TEXT for words, BIGINT for numbers, yes and
-- no (1, 0) and times (microseconds since 1970), nothing else. TEXT is compared by
-- its bytes; on PostgreSQL postgres.go adds the collation that says so. What stands
-- in /* */ is for SQLite. Lists and maps are JSON. A name ending in _folded is as
-- it is searched for: lower case.

-- The number of the last change, the chain up to it, the greatest time that was
-- ever given out and the greatest reader version that a change ever needed. Who
-- changes anything takes this row first, and thereby the next number.
CREATE TABLE head (
	one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
	seq    BIGINT NOT NULL,
	chain  TEXT   NOT NULL,
	time   BIGINT NOT NULL,
	reader BIGINT NOT NULL
);

INSERT INTO head (one, seq, chain, time, reader)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', 0, 1);

-- All that one transaction changed, as replicas apply it.
CREATE TABLE changes (
	seq     BIGINT/* INTEGER */ NOT NULL PRIMARY KEY,
	payload TEXT   NOT NULL,
	chain   TEXT   NOT NULL,
	time    BIGINT NOT NULL,
	reader  BIGINT NOT NULL
);

CREATE TABLE workspaces (
	id          TEXT   NOT NULL PRIMARY KEY,
	name        TEXT   NOT NULL,
	name_folded TEXT   NOT NULL,
	slug        TEXT   NOT NULL UNIQUE,
	system      BIGINT NOT NULL CHECK (system IN (0, 1)),
	paused      BIGINT NOT NULL CHECK (paused IN (0, 1)),
	policy      TEXT   NOT NULL,
	created_at  BIGINT NOT NULL,
	version     BIGINT NOT NULL
);

CREATE UNIQUE INDEX workspaces_system ON workspaces (system) WHERE system = 1;

CREATE TABLE persons (
	id         TEXT   NOT NULL PRIMARY KEY,
	email      TEXT   NOT NULL UNIQUE,
	name       TEXT   NOT NULL,
	created_at BIGINT NOT NULL
);

-- A deleted role stays, out of sight, for those who had it when they ended.
CREATE TABLE roles (
	id           TEXT   NOT NULL PRIMARY KEY,
	workspace_id TEXT   NOT NULL REFERENCES workspaces (id),
	name         TEXT   NOT NULL,
	title        TEXT   NOT NULL,
	title_folded TEXT   NOT NULL,
	description  TEXT   NOT NULL,
	built_in     BIGINT NOT NULL CHECK (built_in IN (0, 1)),
	permissions  TEXT   NOT NULL,
	deleted      BIGINT NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
	created_at   BIGINT NOT NULL,
	version      BIGINT NOT NULL
);

CREATE UNIQUE INDEX roles_name ON roles (workspace_id, name) WHERE deleted = 0;

-- Members and service accounts: who a key can belong to.
CREATE TABLE principals (
	id              TEXT   NOT NULL PRIMARY KEY,
	workspace_id    TEXT   NOT NULL REFERENCES workspaces (id),
	type            TEXT   NOT NULL CHECK (type IN ('service_account', 'member')),
	name            TEXT   NOT NULL,
	name_folded     TEXT   NOT NULL,
	text_folded     TEXT   NOT NULL, -- the rest of what is searched: description and owner, or address
	state           TEXT   NOT NULL CHECK (state IN ('active', 'paused', 'inactive', 'removed')),
	role_id         TEXT   NOT NULL REFERENCES roles (id),
	created_at      BIGINT NOT NULL,
	version         BIGINT NOT NULL,

	-- of service accounts
	description     TEXT,
	owner           TEXT,
	pauses          TEXT,
	metadata        TEXT,
	created_by_id   TEXT,
	created_by_type TEXT,
	created_by_name TEXT,
	created_by_key  TEXT, -- of keys, which refer here in turn
	revoked_at      BIGINT,
	revoked_by_id   TEXT,
	revoked_by_type TEXT,
	revoked_by_name TEXT,
	revoked_reason  TEXT,
	revoked_note    TEXT,

	-- of members
	person_id       TEXT REFERENCES persons (id),
	removed_at      BIGINT,

	CHECK (type <> 'member' OR person_id IS NOT NULL),
	CHECK ((state = 'inactive') = (revoked_at IS NOT NULL)),
	CHECK ((state = 'removed') = (removed_at IS NOT NULL))
);

CREATE UNIQUE INDEX principals_account_name ON principals (workspace_id, name) WHERE type = 'service_account';
CREATE UNIQUE INDEX principals_membership ON principals (workspace_id, person_id) WHERE type = 'member' AND removed_at IS NULL;
CREATE INDEX principals_listed ON principals (workspace_id, type, name_folded, id);
CREATE INDEX principals_role ON principals (role_id);
CREATE INDEX principals_person ON principals (person_id) WHERE person_id IS NOT NULL;
CREATE INDEX principals_made_with ON principals (created_by_key) WHERE created_by_key IS NOT NULL;

-- Every name that an account has or had, so that none is ever given to another:
-- not after its end, and not after it was renamed.
CREATE TABLE account_names (
	workspace_id TEXT NOT NULL REFERENCES workspaces (id),
	name         TEXT NOT NULL,
	principal_id TEXT NOT NULL REFERENCES principals (id),
	PRIMARY KEY (workspace_id, name)
);

CREATE TABLE keys (
	id               TEXT   NOT NULL PRIMARY KEY,
	workspace_id     TEXT   NOT NULL REFERENCES workspaces (id),
	principal_id     TEXT   NOT NULL REFERENCES principals (id),
	name             TEXT   NOT NULL,
	name_folded      TEXT   NOT NULL,
	hash             TEXT   NOT NULL UNIQUE,
	hint             TEXT   NOT NULL,
	permission_limit TEXT,   -- NULL: all that the role allows
	allowed_networks TEXT,   -- NULL: from anywhere
	expires_at       BIGINT, -- NULL: never
	pauses           TEXT   NOT NULL,
	metadata         TEXT   NOT NULL,
	created_at       BIGINT NOT NULL,
	created_by_id    TEXT   NOT NULL,
	created_by_type  TEXT   NOT NULL,
	created_by_name  TEXT   NOT NULL,
	created_by_key   TEXT   REFERENCES keys (id),
	replaces         TEXT   REFERENCES keys (id),
	revoked_at       BIGINT,
	revoked_by_id    TEXT,
	revoked_by_type  TEXT,
	revoked_by_name  TEXT,
	revoked_reason   TEXT,
	revoked_note     TEXT,
	version          BIGINT NOT NULL,
	UNIQUE (principal_id, name)
);

CREATE INDEX keys_listed ON keys (workspace_id, created_at, id);
CREATE INDEX keys_made_with ON keys (created_by_key) WHERE created_by_key IS NOT NULL;

CREATE TABLE invitations (
	id              TEXT   NOT NULL PRIMARY KEY,
	workspace_id    TEXT   NOT NULL REFERENCES workspaces (id),
	email           TEXT   NOT NULL,
	role_id         TEXT   NOT NULL REFERENCES roles (id),
	token_hash      TEXT   NOT NULL UNIQUE,
	invited_by_id   TEXT   NOT NULL,
	invited_by_type TEXT   NOT NULL,
	invited_by_name TEXT   NOT NULL,
	invited_by_key  TEXT   REFERENCES keys (id),
	invited_from    TEXT   REFERENCES workspaces (id),
	created_at      BIGINT NOT NULL,
	expires_at      BIGINT NOT NULL,
	accepted_at     BIGINT,
	cancelled_at    BIGINT,
	version         BIGINT NOT NULL
);

CREATE INDEX invitations_listed ON invitations (workspace_id, created_at, id);

CREATE TABLE permission_types (
	workspace_id TEXT NOT NULL REFERENCES workspaces (id),
	type         TEXT NOT NULL,
	title        TEXT NOT NULL,
	actions      TEXT NOT NULL,
	PRIMARY KEY (workspace_id, type)
);

-- The number of the last event of each workspace. Events refer to nothing, for
-- they outlast everything they name.
CREATE TABLE audit_heads (
	workspace_id TEXT   NOT NULL PRIMARY KEY,
	seq          BIGINT NOT NULL
);

-- body is the whole event in its canonical form; the rest is what finds it.
CREATE TABLE events (
	workspace_id TEXT   NOT NULL,
	seq          BIGINT NOT NULL,
	id           TEXT   NOT NULL UNIQUE,
	at           BIGINT NOT NULL,
	actor_id     TEXT   NOT NULL,
	actor_type   TEXT   NOT NULL,
	action       TEXT   NOT NULL,
	target_id    TEXT   NOT NULL,
	outcome      TEXT   NOT NULL,
	ip           TEXT   NOT NULL,
	revision     BIGINT NOT NULL, -- 0: nothing was changed
	words        TEXT   NOT NULL, -- what it is found by, each after a line feed: see terms.go
	body         TEXT   NOT NULL,
	PRIMARY KEY (workspace_id, seq)
);

CREATE INDEX events_at ON events (workspace_id, at);
CREATE INDEX events_actor ON events (workspace_id, actor_id, seq);
CREATE INDEX events_target ON events (workspace_id, target_id, seq);

-- The words of events, but for the last few events of each workspace.
CREATE TABLE event_terms (
	workspace_id TEXT   NOT NULL,
	term         TEXT   NOT NULL,
	seq          BIGINT NOT NULL,
	PRIMARY KEY (workspace_id, term, seq)
)/* WITHOUT ROWID */;

-- What is known of the store as a whole, such as which root secret goes with it.
CREATE TABLE meta (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

-- Outcomes of calls with an Idempotency-Key.
CREATE TABLE replays (
	scope    TEXT   NOT NULL,
	key      TEXT   NOT NULL,
	body     TEXT   NOT NULL,
	kind     TEXT   NOT NULL,
	result   TEXT   NOT NULL,
	object   TEXT   NOT NULL,
	revision BIGINT NOT NULL,
	at       BIGINT NOT NULL,
	PRIMARY KEY (scope, key)
)/* WITHOUT ROWID */;

CREATE INDEX replays_at ON replays (at);
