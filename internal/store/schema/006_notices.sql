-- Of which ends of keys it has been said that they come, or came. A row is kept for
-- as long as its moment could be looked at again. It refers to nothing: a key's end
-- may be moved while it is written.
CREATE TABLE key_notices (
	key_id     TEXT   NOT NULL,
	expires_at BIGINT NOT NULL,
	days       BIGINT NOT NULL, -- before the end; 0: it came
	due_at     BIGINT NOT NULL, -- that many days before
	PRIMARY KEY (key_id, expires_at, days)
);

CREATE INDEX key_notices_due ON key_notices (due_at);

-- Up to when all has been said; 0: nobody has looked yet. Whoever looks takes this
-- row first, so that no two look at once.
CREATE TABLE notices_head (
	one     BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
	done_to BIGINT NOT NULL
);

INSERT INTO notices_head (one, done_to) VALUES (1, 0);

CREATE INDEX keys_expiring ON keys (expires_at, id) WHERE expires_at IS NOT NULL;
