-- One row per principal, route and key: claimed while `status` is null, answered afterwards.
CREATE TABLE idempotency (
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    claim TEXT NOT NULL,
    claimed_at_ms BIGINT NOT NULL,
    status BIGINT,
    headers TEXT,
    body BYTEA,
    PRIMARY KEY (principal, route, key)
);
CREATE INDEX idempotency_by_age ON idempotency (claimed_at_ms);
