-- What rules in mode shadow would have said: as alert_history, and nobody is told.
CREATE TABLE shadow_alerts (
    timestamp TEXT NOT NULL,
    event_ns INTEGER NOT NULL,
    id TEXT NOT NULL,
    rule_id TEXT NOT NULL,
    rule_name TEXT NOT NULL,
    rule_version INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    price NUMERIC,
    message TEXT NOT NULL,
    metadata TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    revision INTEGER NOT NULL
);
CREATE INDEX shadow_alerts_symbol_timestamp ON shadow_alerts (symbol, timestamp);

-- SQLite takes the other columns from the row that has the maximum.
CREATE VIEW shadow_alerts_latest AS
    SELECT timestamp, event_ns, id, rule_id, rule_name, rule_version, symbol, price, message, metadata, seq, kind,
           max(revision) AS revision
    FROM shadow_alerts GROUP BY symbol, timestamp, id;
