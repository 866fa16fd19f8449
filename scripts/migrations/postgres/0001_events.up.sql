-- Alerts and minute bars, and how far each node's outbox has been delivered.

-- One row per node, moved in the transaction that writes the events: (outbox id, offset of the next event).
CREATE TABLE ringtape_cursor (
    node text PRIMARY KEY,
    outbox_id text NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- timestamp has microseconds, event_ns (since 1970) is exact. The alert's trace id is its id.
CREATE TABLE alert_history (
    "timestamp" timestamptz NOT NULL,
    event_ns bigint NOT NULL,
    id uuid NOT NULL,
    rule_id text NOT NULL,
    rule_name text NOT NULL,
    rule_version bigint NOT NULL,
    symbol text NOT NULL,
    price numeric,
    message text NOT NULL,
    metadata jsonb NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    revision bigint NOT NULL
) PARTITION BY RANGE ("timestamp");
CREATE INDEX alert_history_symbol_timestamp ON alert_history (symbol, "timestamp");

-- Insert only: a bar that late prints changed is a further row with the next revision.
CREATE TABLE bars_1m (
    symbol text NOT NULL,
    start timestamptz NOT NULL,
    revision bigint NOT NULL,
    open numeric NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    volume numeric NOT NULL,
    vwap numeric,
    trades bigint NOT NULL,
    PRIMARY KEY (symbol, start, revision)
) PARTITION BY RANGE (start);

CREATE VIEW bars_1m_latest AS
    SELECT DISTINCT ON (symbol, start) symbol, start, revision, open, high, low, close, volume, vwap, trades
    FROM bars_1m ORDER BY symbol, start, revision DESC;

-- Makes the partitions of a month of UTC if they are not there. A table that is made first and attached then
-- waits for no reader of its parent.
CREATE FUNCTION ringtape_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(1920233588, 2); -- "rtpt": 1 migrations, 2 partitions
    FOREACH parent IN ARRAY ARRAY['alert_history', 'bars_1m'] LOOP
        part := parent || to_char(month, '"_"YYYY"_"MM');
        IF to_regclass(quote_ident(part)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, first, next);
        END IF;
    END LOOP;
END $$;
