-- Trading in a symbol was halted, or went on: type is halted or resumed.
CREATE TABLE events (
    timestamp TEXT NOT NULL,
    event_ns INTEGER NOT NULL,
    id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    type TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    seq INTEGER NOT NULL
);
CREATE INDEX events_symbol_timestamp ON events (symbol, timestamp);
