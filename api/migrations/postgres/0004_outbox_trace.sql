-- The trace of the request that an event of an account follows from, if it has one.
ALTER TABLE outbox ADD COLUMN traceparent TEXT;
