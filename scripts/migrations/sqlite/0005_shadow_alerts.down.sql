DROP VIEW shadow_alerts_latest;
DROP TABLE shadow_alerts;
