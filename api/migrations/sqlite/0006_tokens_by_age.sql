-- Tokens that were not used in their time are looked for again and again.
CREATE INDEX refresh_tokens_by_age ON refresh_tokens (expires_at_ms);
CREATE INDEX reset_tokens_by_age ON reset_tokens (expires_at_ms);
