-- The gateway simulator's ledger, where several instances share one: entries are numbered from 1
-- without a gap, and `told` is 1 once the webhook about an entry was taken.
CREATE TABLE gateway_ledger (
    n BIGINT PRIMARY KEY,
    entry TEXT NOT NULL,
    told BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX gateway_ledger_untold ON gateway_ledger (n) WHERE told = 0;
