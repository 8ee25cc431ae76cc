-- How often keys were accepted and refused by whom a reporter speaks for, in the
-- ten seconds with the number window_at, and in those before.
ALTER TABLE usage_reporters ADD COLUMN window_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_reporters ADD COLUMN window_uses BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_reporters ADD COLUMN window_before BIGINT NOT NULL DEFAULT 0;
