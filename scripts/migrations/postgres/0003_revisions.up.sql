-- An alert whose print was cancelled is a further row of its id and time: kind revised or withdrawn, the next revision.
-- Here each is as it was last sent.
CREATE VIEW alert_history_latest AS
    SELECT DISTINCT ON (symbol, "timestamp", id) "timestamp", event_ns, id, rule_id, rule_name, rule_version, symbol, price,
           message, metadata, seq, kind, revision
    FROM alert_history ORDER BY symbol, "timestamp", id, revision DESC;
