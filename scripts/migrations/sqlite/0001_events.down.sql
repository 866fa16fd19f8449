DROP VIEW bars_1m_latest;
DROP TABLE bars_1m;
DROP TABLE alert_history;
DROP TABLE ringtape_cursor;
