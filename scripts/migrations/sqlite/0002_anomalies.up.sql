-- What a symbol did that is not usual for it.
CREATE TABLE anomalies (
    timestamp TEXT NOT NULL,
    event_ns INTEGER NOT NULL,
    id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL,
    price NUMERIC,
    value REAL,
    expected REAL,
    score REAL,
    threshold REAL,
    message TEXT NOT NULL,
    seq INTEGER NOT NULL
);
CREATE INDEX anomalies_symbol_timestamp ON anomalies (symbol, timestamp);
