DROP VIEW alert_history_latest;
