-- What a key was used at when it was last used from a source: a server, its gateway, or
-- a verifier outside the server. Empty: it was written before that was.
ALTER TABLE usage_sources ADD COLUMN via TEXT NOT NULL DEFAULT '';
