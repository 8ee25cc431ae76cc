-- One provider calls one person by one name: an address that is vouched for under
-- another name has passed to somebody else.
CREATE UNIQUE INDEX identities_person ON identities (issuer, person_id);
