#include "net/event_row.h"
#include "net/migrate.h"
#include "net/settings.h"
#include "net/sink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define ID    "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

static char dir[] = "/tmp/sink-sqlite-XXXXXX";
static struct settings settings;
static char said[4096];

static void log_line(void *ctx, const char *line)
{
    (void)ctx;
    strncat(said, line, sizeof said - strlen(said) - 1);
}

static struct sink_config config = {
    .ops = &sink_sqlite, .node = "n", .outbox_id = ID, .batch = 64, .settings = &settings, .log = log_line};

static int make_dir(void **state)
{
    (void)state;
    settings_defaults(&settings);
    if (!mkdtemp(dir) || chmod(dir, 0777))
        return -1;
    snprintf(settings.sinks_sqlite, sizeof settings.sinks_sqlite, "%s/events.db", dir);
    return 0;
}

static int setup(void **state)
{
    char command[128];
    (void)state;
    *said = 0;
    config.outbox_id = ID;
    snprintf(command, sizeof command, "rm -rf %s/*", dir);
    return system(command);
}

static int remove_dir(void **state)
{
    return setup(state) || rmdir(dir);
}

/* Event `offset`: an alert, each fourth a bar, each eighth the next revision of the bar before. */
static struct outbox_record event(uint64_t offset, char json[1024])
{
    struct outbox_record r = {.offset = offset,
                              .kind = offset % 4 == 3 ? OUTBOX_BAR : OUTBOX_ALERT,
                              .name = "S",
                              .name_len = 1,
                              .json = json};
    unsigned minute = (unsigned)(offset / 8) % 60, revision = offset % 8 == 7;
    r.event_ns = INT64_C(1381239900000000000) + minute * INT64_C(60000000000);
    if (r.kind == OUTBOX_BAR)
        r.json_len = (uint32_t)sprintf(
            json,
            "{\"symbol\":\"S\",\"timestamp\":\"2013-10-08T13:%02u:00.000000000Z\",\"open\":1.5,"
            "\"high\":%u,\"low\":0.000000001,\"close\":-2,\"volume\":%llu,\"vwap\":null,"
            "\"trades\":7,\"revision\":%u}",
            minute, 2 + revision, (unsigned long long)offset, revision);
    else
        r.json_len = (uint32_t)sprintf(
            json,
            "{\"id\":\"%032llx\",\"rule_id\":\"r\",\"rule_name\":\"a \\\"b\\\" \\u0007\",\"rule_version\":1,"
            "\"symbol\":\"S\",\"timestamp\":\"2013-10-08T13:%02u:00.000000001Z\",\"price\":167.51,"
            "\"message\":\"a: S "
            "167.51\",\"metadata\":{\"x\":{\"y\":\"}\"},\"z\":null},\"trace_id\":\"-\",\"seq\":%llu,"
            "\"kind\":\"fired\",\"revision\":0}",
            (unsigned long long)offset, minute, (unsigned long long)offset);
    return r;
}

static void *state_new(void)
{
    void *s = calloc(1, sink_sqlite.state_bytes);
    assert_non_null(s);
    return s;
}

static void *open_sink(struct sink_cursor *cursor)
{
    struct error err = {""};
    void *s = state_new();
    memset(cursor, 0, sizeof *cursor);
    if (sink_sqlite.open(s, &config, cursor, &err))
        fail_msg("%s", err.text);
    return s;
}

static void close_sink(void *s)
{
    sink_sqlite.close(s);
    free(s);
}

static int deliver(void *s, uint64_t from, uint64_t end, uint32_t *accepted, struct error *err)
{
    static char json[4096][1024];
    struct outbox_record r[4096];
    for (uint64_t i = from; i < end; i++)
        r[i - from] = event(i, json[i - from]);
    return sink_sqlite.deliver(s, r, (uint32_t)(end - from), accepted, err);
}

static void deliver_all(void *s, uint64_t from, uint64_t end)
{
    struct error err = {""};
    uint32_t accepted = 0;
    if (deliver(s, from, end, &accepted, &err))
        fail_msg("%s", err.text);
    assert_int_equal(accepted, end - from);
}

static void assert_failure(int result, const struct error *err, const char *const texts[])
{
    assert_int_equal(result, -1);
    for (; *texts; texts++)
        if (!strstr(err->text, *texts))
            fail_msg("found '%s', expected '%s'", err->text, *texts);
}
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Opening fails and says all that. */
static void assert_refused(const char *const texts[])
{
    struct error err = {""};
    struct sink_cursor cursor = {"", 0};
    void *s = state_new();
    int result = sink_sqlite.open(s, &config, &cursor, &err);
    if (result == 0)
        sink_sqlite.close(s);
    free(s);
    assert_failure(result, &err, texts);
}

/* As migrate_db.run; also how the tests look into the file. */
static int run_sql(void *ctx, const char *sql, int64_t *value, struct error *err)
{
    while (*sql) {
        sqlite3_stmt *statement = NULL;
        int code = sqlite3_prepare_v2(ctx, sql, -1, &statement, &sql);
        if (code == SQLITE_OK && !statement)
            return 0;
        if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW && value)
            *value = sqlite3_column_int64(statement, 0);
        if (code || sqlite3_finalize(statement))
            return error_set(err, "%s", sqlite3_errmsg(ctx));
    }
    return 0;
}

static int64_t sql(const char *text)
{
    sqlite3 *db;
    int64_t value = -1;
    struct error err = {""};
    assert_int_equal(sqlite3_open(settings.sinks_sqlite, &db), SQLITE_OK);
    if (run_sql(db, text, &value, &err))
        fail_msg("%s: %s", text, err.text);
    sqlite3_close(db);
    return value;
}

/* Each event before `end` is there once. */
static void assert_content(uint64_t end)
{
    int64_t bars = 0;
    for (uint64_t i = 0; i < end; i++)
        bars += i % 4 == 3;
    assert_int_equal(sql("SELECT count(*) FROM alert_history"), end - (uint64_t)bars);
    assert_int_equal(sql("SELECT count(DISTINCT seq) FROM alert_history"), end - (uint64_t)bars);
    assert_int_equal(sql("SELECT count(*) FROM bars_1m"), bars);
    assert_int_equal(sql("SELECT next_offset FROM ringtape_cursor WHERE node = 'n'"), end);
}

static void test_columns(void **state)
{
    struct sink_cursor cursor;
    void *s = open_sink(&cursor);
    (void)state;
    assert_string_equal(cursor.outbox_id, "");
    assert_int_equal(cursor.offset, 0);
    deliver_all(s, 0, 16);
    close_sink(s);
    assert_content(16);
    assert_int_equal(
        sql("SELECT count(*) FROM alert_history WHERE id = '00000000000000000000000000000008' AND "
            "timestamp = '2013-10-08T13:01:00.000000001Z' AND event_ns = 1381239960000000000 AND "
            "rule_id = 'r' AND rule_name = 'a \"b\" ' || char(7) AND rule_version = 1 AND symbol = 'S' "
            "AND price = 167.51 AND message = 'a: S 167.51' AND json_extract(metadata, '$.x.y') = '}' AND "
            "seq = 8 AND kind = 'fired' AND revision = 0"),
        1);
    assert_int_equal(
        sql("SELECT count(*) FROM bars_1m WHERE symbol = 'S' AND start = '2013-10-08T13:01:00.000000000Z' "
            "AND open = 1.5 AND high = 2 AND low = 0.000000001 AND close = -2 AND volume = 11 AND vwap IS "
            "NULL AND trades = 7 AND revision = 0"),
        1);
    assert_int_equal(sql("PRAGMA journal_mode"), 0); /* "wal" */
    s = open_sink(&cursor);
    assert_string_equal(cursor.outbox_id, ID);
    assert_int_equal(cursor.offset, 16);
    close_sink(s);
}

static void test_revised_bars(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    void *s = open_sink(&cursor);
    deliver_all(s, 0, 8); /* 3: a bar, 7: its revision 1 */
    assert_int_equal(sql("SELECT count(*) FROM bars_1m"), 2);
    assert_int_equal(sql("SELECT count(*) FROM bars_1m_latest"), 1);
    assert_int_equal(
        sql("SELECT count(*) FROM bars_1m_latest WHERE revision = 1 AND high = 3 AND volume = 7"), 1);
    close_sink(s);
}

static void test_late_batch(void **state)
{
    struct sink_cursor cursor;
    struct error err = {""};
    uint32_t accepted = 0;
    (void)state;
    void *old = open_sink(&cursor);
    deliver_all(old, 0, 10);
    void *new = open_sink(&cursor);
    assert_int_equal(cursor.offset, 10);
    deliver_all(new, 10, 15);
    assert_failure(deliver(old, 10, 20, &accepted, &err), &err,
                   TEXTS("cursor of node n", ID " 10", "another process"));
    assert_int_equal(accepted, 0);
    assert_content(15);
    close_sink(old);
    deliver_all(new, 15, 20); /* what was undone has left no lock */
    close_sink(new);
    assert_content(20);
}

static void test_two_nodes(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    void *s = open_sink(&cursor);
    deliver_all(s, 0, 8);
    close_sink(s);
    config.node = "m";
    s = open_sink(&cursor);
    assert_string_equal(cursor.outbox_id, "");
    deliver_all(s, 0, 8); /* its bars are there already */
    close_sink(s);
    config.node = "n";
    assert_int_equal(sql("SELECT count(*) FROM ringtape_cursor WHERE next_offset = 8"), 2);
    assert_int_equal(sql("SELECT count(*) FROM bars_1m"), 2);
}

static void test_unknown_outbox(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    void *s = open_sink(&cursor);
    deliver_all(s, 0, 12);
    close_sink(s);
    config.outbox_id = OTHER;
    s = open_sink(&cursor);
    assert_string_equal(cursor.outbox_id, ID); /* where to start is the caller's decision */
    deliver_all(s, 3, 5);
    close_sink(s);
    assert_int_equal(sql("SELECT outbox_id = '" OTHER "' AND next_offset = 5 FROM ringtape_cursor"), 1);
    assert_int_equal(sql("SELECT count(*) FROM bars_1m"), 3); /* number 3 was there */
}

static void shell(const char *format, const char *a, const char *b)
{
    char command[512];
    snprintf(command, sizeof command, format, a, b);
    assert_int_equal(system(command), 0);
}

static void test_restored_database(void **state)
{
    struct sink_cursor cursor;
    struct error err = {""};
    uint32_t accepted = 0;
    char backup[256];
    (void)state;
    snprintf(backup, sizeof backup, "%s/backup", dir);
    void *s = open_sink(&cursor);
    deliver_all(s, 0, 10);
    close_sink(s);
    shell("cp %s %s", settings.sinks_sqlite, backup);
    s = open_sink(&cursor);
    deliver_all(s, 10, 20);
    shell("mv %s %s", backup, settings.sinks_sqlite); /* under the sink's feet */
    shell("rm -f %s-wal %s-shm", settings.sinks_sqlite, settings.sinks_sqlite);
    assert_failure(sink_sqlite.probe(s, &err), &err, TEXTS("replaced or deleted"));
    assert_failure(deliver(s, 20, 30, &accepted, &err), &err, TEXTS("replaced or deleted"));
    close_sink(s);
    s = open_sink(&cursor);
    assert_int_equal(cursor.offset, 10);
    deliver_all(s, 10, 30);
    close_sink(s);
    assert_content(30);
}

static void test_strange_cursors(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    close_sink(open_sink(&cursor));
    sql("UPDATE ringtape_cursor SET outbox_id = 'short'");
    assert_refused(TEXTS("outbox id of 5 bytes", "32 hex digits", "delete the row"));
    sql("UPDATE ringtape_cursor SET outbox_id = '" ID "', next_offset = -1");
    assert_refused(TEXTS("offset -1", "delete the row"));
    sql("DELETE FROM ringtape_cursor");
    close_sink(open_sink(&cursor));
    assert_string_equal(cursor.outbox_id, "");
}

static void write_file(const char *text)
{
    FILE *f = fopen(settings.sinks_sqlite, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_files_of_others(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    sql("CREATE TABLE theirs (x)");
    assert_refused(TEXTS("another program", "application_id 0, 1 tables", "another file"));
    assert_int_equal(sql("SELECT count(*) FROM sqlite_master"), 1);
    sql("DROP TABLE theirs; PRAGMA application_id = 7");
    assert_refused(TEXTS("another program", "application_id 7"));
    assert_int_equal(unlink(settings.sinks_sqlite), 0);
    write_file(
        "these are the notes of a person, and certainly not the pages of a database that SQLite has made; "
        "they are a hundred bytes and more");
    assert_refused(TEXTS("no SQLite database", "another file"));
    write_file("");
    close_sink(open_sink(&cursor)); /* an empty file is as good as none */
}

/* Runs the test's body as nobody, so that rights count. */
static void as_nobody(void (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (getuid() == 0 && setuid(65534))
            _exit(2);
        if (access(dir, R_OK | X_OK))
            _exit(77); /* folders above are closed to it */
        body();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static bool opening_says(const char *text)
{
    struct error err = {""};
    struct sink_cursor cursor;
    void *s = calloc(1, sink_sqlite.state_bytes);
    bool said_so = sink_sqlite.open(s, &config, &cursor, &err) && strstr(err.text, text);
    free(s);
    if (!said_so)
        fprintf(stderr, "found '%s', expected '%s'\n", err.text, text);
    return said_so;
}

static void in_read_only_dir(void)
{
    if (!opening_says("its folder must exist and be writable"))
        _exit(1);
}

static void with_read_only_file(void)
{
    if (!opening_says("read-only: give this user the right to write both"))
        _exit(1);
}

static void test_rights(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    assert_int_equal(chmod(dir, 0555), 0);
    as_nobody(in_read_only_dir);
    assert_int_equal(chmod(dir, 0777), 0);
    close_sink(open_sink(&cursor));
    assert_int_equal(chmod(settings.sinks_sqlite, 0444), 0);
    as_nobody(with_read_only_file);
}

static void test_locked(void **state)
{
    struct sink_cursor cursor;
    struct error err = {""};
    uint32_t accepted = 0;
    sqlite3 *db;
    (void)state;
    void *s = open_sink(&cursor);
    assert_int_equal(sqlite3_open(settings.sinks_sqlite, &db), SQLITE_OK);
    assert_int_equal(run_sql(db, "BEGIN IMMEDIATE", NULL, NULL), 0);
    assert_failure(deliver(s, 0, 4, &accepted, &err), &err, TEXTS("locked", "end its transaction"));
    assert_int_equal(run_sql(db, "ROLLBACK", NULL, NULL), 0);
    sqlite3_close(db);
    deliver_all(s, 0, 4);
    close_sink(s);
    assert_content(4);
}

static void test_full_disk(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    void *s = open_sink(&cursor);
    deliver_all(s, 0, 4);
    close_sink(s);
    pid_t pid = fork(); /* a limit of the file's size: SQLite takes it for an error of the disk */
    if (pid == 0) {
        struct error err = {""};
        uint32_t accepted = 0;
        signal(SIGXFSZ, SIG_IGN);
        s = open_sink(&cursor);
        char command[64];
        snprintf(command, sizeof command, "prlimit --fsize=%d --pid %d", 40 << 10, (int)getpid());
        if (system(command))
            _exit(2);
        int result = deliver(s, 4, 1004, &accepted, &err);
        _exit(result == -1 && accepted == 0 && strstr(err.text, "disk") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    s = open_sink(&cursor);
    assert_int_equal(cursor.offset, 4);
    deliver_all(s, 4, 1004 - 1004 % 480);
    close_sink(s);
}

/* Delivers until it is killed. */
static void test_killed(void **state)
{
    struct sink_cursor cursor;
    (void)state;
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            void *s = open_sink(&cursor);
            for (uint64_t at = cursor.offset; at + 16 <= 480; at += 16)
                deliver_all(s, at, at + 16);
            pause();
        }
        usleep(8000 + 3000 * (useconds_t)i);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    void *s = open_sink(&cursor);
    if (cursor.offset < 480)
        deliver_all(s, cursor.offset, 480);
    close_sink(s);
    assert_content(480);
}

/* An event that is none is refused, the others are delivered. */
static void test_malformed_event(void **state)
{
    static char json[16][1024];
    static const char *const bad[] = {"",
                                      "{",
                                      "{}",
                                      "[]",
                                      "{\"symbol\":7}",
                                      "{\"symbol\":\"S",
                                      "{\"symbol\":\"S\\\"}",
                                      "{\"symbol\":\"S\",\"timestamp\":\"t\",\"revision\":\"1\"}",
                                      "{\"symbol\":\"S\"} "};
    struct outbox_record r[16];
    struct sink_cursor cursor;
    (void)state;
    void *s = open_sink(&cursor);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        struct error err = {""};
        uint32_t accepted = 0;
        uint64_t first = 16 * k;
        for (unsigned i = 0; i < 16; i++)
            r[i] = event(first + i, json[i]);
        r[11].json = bad[k];
        r[11].json_len = (uint32_t)strlen(bad[k]);
        assert_int_equal(sink_sqlite.deliver(s, r, 16, &accepted, &err), SINK_REFUSED);
        assert_int_equal(accepted, 11);
        assert_non_null(strstr(err.text, "of the outbox"));
        assert_int_equal(sql("SELECT next_offset FROM ringtape_cursor"), first + 11);
        assert_int_equal(sink_sqlite.deliver(s, r + 12, 4, &accepted, &err), 0);
        assert_int_equal(sql("SELECT next_offset FROM ringtape_cursor"), first + 16);
    }
    close_sink(s);
}

static void test_anomaly(void **state)
{
    static const char json[] =
        "{\"id\":\"0123456789abcdef000000000000000a\",\"symbol\":\"S\",\"timestamp\":"
        "\"2013-10-08T13:45:27.122000000Z\",\"type\":\"drop\",\"severity\":\"medium\",\"price\":167.51,"
        "\"value\":167.51,\"expected\":168.25,\"score\":-5e-05,\"threshold\":3,\"message\":\"S drop 167.51\","
        "\"seq\":77}";
    struct sink_cursor cursor;
    struct error err = {""};
    uint32_t accepted;
    struct outbox_record r = {.kind = OUTBOX_ANOMALY,
                              .event_ns = INT64_C(1381239927122000000),
                              .name = "S",
                              .name_len = 1,
                              .json = json,
                              .json_len = sizeof json - 1};
    (void)state;
    void *s = open_sink(&cursor);
    assert_int_equal(sink_sqlite.deliver(s, &r, 1, &accepted, &err), 0);
    close_sink(s);
    assert_int_equal(sql("SELECT next_offset FROM ringtape_cursor"), 1);
    assert_int_equal(
        sql("SELECT count(*) FROM anomalies WHERE event_ns = 1381239927122000000 AND symbol = 'S' "
            "AND type = 'drop' AND severity = 'medium' AND price = 167.51 AND value = 167.51 AND "
            "expected = 168.25 AND score = -0.00005 AND threshold = 3 AND seq = 77 AND "
            "timestamp = '2013-10-08T13:45:27.122000000Z'"),
        1);
}

/* The same alert, of a live rule and of one in mode shadow: a row in the one table, and in the other. */
static void test_shadow(void **state)
{
    static const char json[] =
        "{\"id\":\"0123456789abcdef000000000000000a\",\"rule_id\":\"r\",\"rule_name\":\"R\",\"rule_version\":"
        "2,"
        "\"symbol\":\"S\",\"timestamp\":\"2013-10-08T13:45:27.122000000Z\",\"price\":167.51,\"message\":"
        "\"R: S 167.51\",\"metadata\":{\"price\":167.51},\"trace_id\":\"0123456789abcdef000000000000000a\","
        "\"seq\":77,\"kind\":\"revised\",\"revision\":1}";
    static const char *const tables[] = {"shadow_alerts", "alert_history"};
    struct sink_cursor cursor;
    struct error err = {""};
    (void)state;
    void *s = open_sink(&cursor);
    for (unsigned i = 0; i < 2; i++) {
        char question[400];
        uint32_t accepted;
        struct outbox_record r = {.offset = i,
                                  .kind = i ? OUTBOX_ALERT : OUTBOX_SHADOW,
                                  .event_ns = INT64_C(1381239927122000000),
                                  .name = "S",
                                  .name_len = 1,
                                  .json = json,
                                  .json_len = sizeof json - 1};
        assert_int_equal(sql("SELECT count(*) FROM alert_history"), 0);
        assert_int_equal(sink_sqlite.deliver(s, &r, 1, &accepted, &err), 0);
        snprintf(
            question, sizeof question,
            "SELECT count(*) FROM %s WHERE event_ns = 1381239927122000000 AND rule_id = 'r' AND "
            "rule_version = 2 AND symbol = 'S' AND price = 167.51 AND metadata = '{\"price\":167.51}' AND "
            "seq = 77 AND kind = 'revised' AND revision = 1",
            tables[i]);
        assert_int_equal(sql(question), 1);
    }
    close_sink(s);
    assert_int_equal(sql("SELECT count(*) FROM shadow_alerts"), 1);
    assert_int_equal(sql("SELECT count(*) FROM shadow_alerts_latest WHERE revision = 1"), 1);
    assert_int_equal(sql("SELECT next_offset FROM ringtape_cursor"), 2);
}

static void test_migrations(void **state)
{
    struct sink_cursor cursor;
    struct error err = {""};
    sqlite3 *db;
    (void)state;
    void *a = open_sink(&cursor);
    char applied[64];
    snprintf(applied, sizeof applied, "applied %d migration", (int)MIGRATIONS_SQLITE);
    assert_non_null(strstr(said, applied));
    *said = 0;
    void *b = open_sink(&cursor); /* finds it done */
    assert_string_equal(said, "");
    deliver_all(a, 0, 8);
    close_sink(a);
    close_sink(b);
    assert_int_equal(sql("SELECT count(*) FROM ringtape_migrations WHERE version = 1 AND name = 'events'"),
                     1);

    assert_int_equal(sqlite3_open(settings.sinks_sqlite, &db), SQLITE_OK);
    struct migrate_db m = {
        migrations_sqlite, MIGRATIONS_SQLITE,
        "BEGIN IMMEDIATE", "SELECT count(*) FROM sqlite_master WHERE name = 'ringtape_migrations'",
        run_sql,           db};
    assert_int_equal(migrate_to(&m, 0, &err), 0);
    assert_int_equal(sql("SELECT count(*) FROM sqlite_master WHERE name NOT LIKE '%ringtape_migrations%'"),
                     0);
    assert_int_equal(sql("SELECT count(*) FROM ringtape_migrations"), 0);

    /* A step that fails leaves nothing. */
    const struct migration broken[] = {migrations_sqlite[0],
                                       {"broken", "CREATE TABLE half (x); SELECT nonsense", ""}};
    struct migrate_db failing = m;
    failing.list = broken;
    failing.count = 2;
    assert_int_equal(migrate_up(&failing, NULL, &err), -1);
    assert_non_null(strstr(err.text, "0002_broken.up"));
    assert_int_equal(sql("SELECT count(*) FROM sqlite_master WHERE name IN ('half', 'bars_1m')"), 0);
    sqlite3_close(db);

    a = open_sink(&cursor); /* up again */
    assert_string_equal(cursor.outbox_id, "");
    deliver_all(a, 0, 8);
    close_sink(a);
    assert_content(8);
    sql("INSERT INTO ringtape_migrations (version, name) VALUES (99, 'later')");
    snprintf(applied, sizeof applied, "up to %d", (int)MIGRATIONS_SQLITE);
    assert_refused(TEXTS("migration 99", applied, "newer ringtape"));
}

/* Processes that start at once on no database: whichever moment each finds it in, all of them open it. */
static void test_two_at_once(void **state)
{
    enum { ROUNDS = 25, PROCESSES = 4 };
    struct sink_cursor cursor;
    int bad = 0;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        setup(state);
        for (int i = 0; i < PROCESSES; i++)
            if (fork() == 0) {
                struct error err = {""};
                void *s = state_new();
                int result = sink_sqlite.open(s, &config, &cursor, &err);
                if (result)
                    fprintf(stderr, "%s\n", err.text);
                _exit(result ? 1 : 0);
            }
        for (int i = 0, status; i < PROCESSES; i++)
            bad += wait(&status) < 0 || status != 0;
        assert_int_equal(bad, 0);
        assert_int_equal(sql("SELECT count(*) FROM ringtape_migrations"), MIGRATIONS_SQLITE);
    }
}

static void test_configuration(void **state)
{
    struct error err = {""};
    char path[SETTING_TEXT_MAX];
    (void)state;
    assert_int_equal(sink_sqlite.check(&config, &err), 0);
    strcpy(path, settings.sinks_sqlite);
    strcpy(settings.sinks_sqlite, ":memory:");
    assert_failure(sink_sqlite.check(&config, &err), &err,
                   TEXTS("sinks.sqlite", ":memory:", "path of a file"));
    strcpy(settings.sinks_sqlite, "/nowhere/at/all.db");
    assert_refused(TEXTS("/nowhere/at/all.db", "folder must exist"));
    strcpy(settings.sinks_sqlite, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_columns, setup),
        cmocka_unit_test_setup(test_revised_bars, setup),
        cmocka_unit_test_setup(test_late_batch, setup),
        cmocka_unit_test_setup(test_two_nodes, setup),
        cmocka_unit_test_setup(test_unknown_outbox, setup),
        cmocka_unit_test_setup(test_restored_database, setup),
        cmocka_unit_test_setup(test_strange_cursors, setup),
        cmocka_unit_test_setup(test_files_of_others, setup),
        cmocka_unit_test_setup(test_rights, setup),
        cmocka_unit_test_setup(test_locked, setup),
        cmocka_unit_test_setup(test_full_disk, setup),
        cmocka_unit_test_setup(test_killed, setup),
        cmocka_unit_test_setup(test_malformed_event, setup),
        cmocka_unit_test_setup(test_anomaly, setup),
        cmocka_unit_test_setup(test_shadow, setup),
        cmocka_unit_test_setup(test_migrations, setup),
        cmocka_unit_test_setup(test_two_at_once, setup),
        cmocka_unit_test_setup(test_configuration, setup),
    };
    return cmocka_run_group_tests_name("sink_sqlite", tests, make_dir, remove_dir);
}
