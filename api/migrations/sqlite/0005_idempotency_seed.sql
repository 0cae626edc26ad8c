-- What the ids that a request makes are derived from: the same for each repetition, another once the
-- key was forgotten.
ALTER TABLE idempotency ADD COLUMN seed TEXT NOT NULL DEFAULT '';
