-- An alert whose print was cancelled is a further row of its id and time: kind revised or withdrawn, the next revision.
-- Here each is as it was last sent. SQLite takes the other columns from the row that has the maximum.
CREATE VIEW alert_history_latest AS
    SELECT timestamp, event_ns, id, rule_id, rule_name, rule_version, symbol, price, message, metadata, seq, kind,
           max(revision) AS revision
    FROM alert_history GROUP BY symbol, timestamp, id;
