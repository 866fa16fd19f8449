-- Alerts and minute bars, and how far each node's outbox has been delivered: the tables of the Postgres schema.
-- Times are texts of the form 2013-10-08T13:45:27.122000000Z. Prices are exact to 15 significant digits.
PRAGMA application_id = 1381253456; -- "RTAP"

-- One row per node, moved in the transaction that writes the events: (outbox id, offset of the next event).
CREATE TABLE ringtape_cursor (
    node TEXT PRIMARY KEY,
    outbox_id TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    updated_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;

-- event_ns: since 1970. The alert's trace id is its id.
CREATE TABLE alert_history (
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
CREATE INDEX alert_history_symbol_timestamp ON alert_history (symbol, timestamp);

-- Insert only: a bar that late prints changed is a further row with the next revision.
CREATE TABLE bars_1m (
    symbol TEXT NOT NULL,
    start TEXT NOT NULL,
    revision INTEGER NOT NULL,
    open NUMERIC NOT NULL,
    high NUMERIC NOT NULL,
    low NUMERIC NOT NULL,
    close NUMERIC NOT NULL,
    volume NUMERIC NOT NULL,
    vwap NUMERIC,
    trades INTEGER NOT NULL,
    PRIMARY KEY (symbol, start, revision)
) WITHOUT ROWID;

-- SQLite takes the other columns from the row that has the maximum.
CREATE VIEW bars_1m_latest AS
    SELECT symbol, start, max(revision) AS revision, open, high, low, close, volume, vwap, trades
    FROM bars_1m GROUP BY symbol, start;
