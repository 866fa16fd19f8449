DROP VIEW shadow_alerts_latest;
DROP TABLE shadow_alerts;
CREATE OR REPLACE FUNCTION ringtape_partition(month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first timestamptz := date_trunc('month', month::timestamp) AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(1920233588, 2); -- "rtpt": 1 migrations, 2 partitions
    FOREACH parent IN ARRAY ARRAY['alert_history', 'bars_1m', 'anomalies', 'events'] LOOP
        part := parent || to_char(month, '"_"YYYY"_"MM');
        IF to_regclass(quote_ident(part)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part, first, next);
        END IF;
    END LOOP;
END $$;
