-- How people prove who they are. A person has one password at most, in the encoded
-- form of argon2 (RFC 9106), and any number of passkeys.
CREATE TABLE passwords (
	person_id  TEXT   NOT NULL PRIMARY KEY REFERENCES persons (id),
	encoded    TEXT   NOT NULL,
	changed_at BIGINT NOT NULL
);

-- record is what the passkey's public half consists of, as JSON; credential is the
-- id by which authenticators know it, in base64.
CREATE TABLE passkeys (
	id           TEXT   NOT NULL PRIMARY KEY,
	person_id    TEXT   NOT NULL REFERENCES persons (id),
	credential   TEXT   NOT NULL UNIQUE,
	name         TEXT   NOT NULL,
	record       TEXT   NOT NULL,
	created_at   BIGINT NOT NULL,
	last_used_at BIGINT -- NULL: it was never used to sign in
);

CREATE INDEX passkeys_person ON passkeys (person_id, created_at, id);

-- Who a provider of single sign-on calls by what name.
CREATE TABLE identities (
	issuer    TEXT   NOT NULL,
	subject   TEXT   NOT NULL,
	person_id TEXT   NOT NULL REFERENCES persons (id),
	linked_at BIGINT NOT NULL,
	PRIMARY KEY (issuer, subject)
);

-- One row for each time that somebody signed in. hash is of the cookie, under the
-- root secret; seen_at is written at most once a minute, beside the change log.
CREATE TABLE sign_ins (
	id               TEXT   NOT NULL PRIMARY KEY,
	person_id        TEXT   NOT NULL REFERENCES persons (id),
	hash             TEXT   NOT NULL UNIQUE,
	method           TEXT   NOT NULL,
	workspace_id     TEXT   NOT NULL REFERENCES workspaces (id), -- where its holder works now
	created_at       BIGINT NOT NULL,
	seen_at          BIGINT NOT NULL,
	authenticated_at BIGINT NOT NULL,
	expires_at       BIGINT NOT NULL,
	ended_at         BIGINT, -- NULL: nobody ended it
	ip               TEXT   NOT NULL,
	user_agent       TEXT   NOT NULL
);

CREATE INDEX sign_ins_person ON sign_ins (person_id, created_at, id);

-- What a sign-in is in each workspace that its person is a member of: a credential
-- of that member, as a key is.
CREATE TABLE sessions (
	sign_in_id   TEXT NOT NULL REFERENCES sign_ins (id),
	workspace_id TEXT NOT NULL REFERENCES workspaces (id),
	principal_id TEXT NOT NULL REFERENCES principals (id),
	hash         TEXT NOT NULL UNIQUE,
	PRIMARY KEY (sign_in_id, workspace_id)
);

-- What works once and not for long: setup links, challenges of passkeys, states of
-- single sign-on. hash is of what its holder shows; a ticket that was used is gone.
CREATE TABLE tickets (
	hash       TEXT   NOT NULL PRIMARY KEY,
	kind       TEXT   NOT NULL,
	person_id  TEXT   NOT NULL, -- empty: it is nobody's yet
	data       TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL
);

CREATE INDEX tickets_expiry ON tickets (expires_at);

-- How often somebody gave a wrong password, for an account or from an address. Names
-- fall into a fixed number of buckets, so that no flood of names fills the table or
-- pushes anything out of it.
CREATE TABLE guesses (
	bucket       TEXT   NOT NULL PRIMARY KEY,
	failures     BIGINT NOT NULL,
	last_at      BIGINT NOT NULL,
	locked_until BIGINT NOT NULL
);

-- Devices that ask to act for a member (RFC 8628).
CREATE TABLE devices (
	hash         TEXT   NOT NULL PRIMARY KEY, -- of the device code
	user_code    TEXT   NOT NULL UNIQUE,
	name         TEXT   NOT NULL,
	ip           TEXT   NOT NULL,
	user_agent   TEXT   NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	polled_at    BIGINT NOT NULL,
	state        TEXT   NOT NULL, -- pending, approved, denied or used
	sign_in_id   TEXT,            -- that approved or denied it
	workspace_id TEXT,
	principal_id TEXT
);

CREATE INDEX devices_expiry ON devices (expires_at);
