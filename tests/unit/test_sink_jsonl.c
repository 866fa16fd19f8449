#include "net/sink.h"

#include "tests/system/lib/fake_outbox.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/sink-jsonl-XXXXXX";
static char path[64], cursor_path[80];
static char said[8192];
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

static int make_dir(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/alerts.jsonl", dir);
    snprintf(cursor_path, sizeof cursor_path, "%s.cursor", path);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    char temporary[96];
    snprintf(temporary, sizeof temporary, "%s.tmp", cursor_path);
    unlink(temporary);
    unlink(path);
    unlink(cursor_path);
    *said = 0;
    fake_set(0, 0);
    return 0;
}

static int remove_dir(void **state)
{
    setup(state);
    return rmdir(dir);
}

static void log_line(void *ctx, const char *line)
{
    (void)ctx;
    pthread_mutex_lock(&said_lock);
    size_t at = strlen(said);
    snprintf(said + at, sizeof said - at, "%s\n", line);
    pthread_mutex_unlock(&said_lock);
}

static struct sink_config config(void)
{
    return (struct sink_config){.ops = &sink_jsonl,
                                .node = "n",
                                .outbox_dir = "memory",
                                .outbox_id = FAKE_ID,
                                .next_offset = fake.next,
                                .batch = 64,
                                .path = path,
                                .log = log_line};
}

static struct sink *start(void)
{
    struct error err;
    struct sink_config c = config();
    struct sink *s = sink_start(&c, &err);
    assert_non_null(s);
    return s;
}

static bool await_level(struct sink *s, uint64_t offset)
{
    for (int i = 0; i < 10000 && !sink_level(s, offset); i++)
        usleep(1000);
    return sink_level(s, offset);
}

/* Starts a sink, waits until it has the whole outbox, stops it. */
static void run_to(uint64_t next)
{
    fake_set(0, next);
    struct sink *s = start();
    assert_true(await_level(s, next));
    assert_int_equal(sink_stop(s, 2000), 0);
}

static void await_error(struct sink *s, const char *text)
{
    struct error err = {""};
    for (int i = 0; i < 5000 && !sink_last_error(s, &err); i++)
        usleep(1000);
    if (!strstr(err.text, text))
        fail_msg("found '%s', expected '%s'", err.text, text);
}

static void write_file(const char *name, const char *mode, const char *text)
{
    FILE *f = fopen(name, mode);
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *content(const char *name)
{
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, f) < (1 << 20) - 1);
    fclose(f);
    return text;
}

/* The file holds `before`, then each alert (no bar) of the events from first to end, once, in order. */
static void assert_content(const char *before, uint64_t first, uint64_t end)
{
    char *text = content(path), *expected = calloc(1, 1 << 20);
    size_t at = (size_t)sprintf(expected, "%s", before);
    for (uint64_t n = first; n < end; n++)
        if (!fake_is_bar(n))
            at += (size_t)sprintf(expected + at, "{\"n\":%llu}\n", (unsigned long long)n);
    assert_int_equal(strlen(text), at);
    assert_string_equal(text, expected);
    free(text);
    free(expected);
}

static void test_alerts_and_cursor(void **state)
{
    (void)state;
    run_to(7);
    assert_content("", 0, 7);
    char *cursor = content(cursor_path);
    assert_string_equal(cursor, "ringtape cursor 1 outbox=" FAKE_ID " offset=7 length=40\n");
    free(cursor);
    run_to(500);
    run_to(500);
    run_to(501);
    assert_content("", 0, 501);
}

static void test_keeps_what_was_there(void **state)
{
    (void)state;
    write_file(path, "w", "older\n");
    run_to(20);
    run_to(40);
    assert_content("older\n", 0, 40);
    assert_non_null(strstr(said, "has 6 bytes and no cursor: appending after them"));
}

static void test_cuts_an_unconfirmed_tail(void **state)
{
    (void)state;
    run_to(100);
    char *cursor = content(cursor_path);
    run_to(200);
    write_file(cursor_path, "w", cursor); /* as if the process had died before the last cursors */
    write_file(path, "a", "{\"n\":2");    /* and within a write */
    run_to(250);
    assert_content("", 0, 250);
    assert_non_null(strstr(said, "bytes off "));
    free(cursor);
}

static void test_shorter_than_the_cursor(void **state)
{
    (void)state;
    run_to(100);
    assert_int_equal(truncate(path, 0), 0);
    run_to(120);
    assert_content("", 100, 120);
    assert_non_null(strstr(said, "has 0 bytes, its cursor says "));
    run_to(140);
    assert_content("", 100, 140);
}

static void test_cursor_of_another_outbox(void **state)
{
    (void)state;
    write_file(path, "w", "abcdef");
    write_file(cursor_path, "w", "ringtape cursor 1 outbox=" FAKE_OTHER_ID " offset=9 length=4\n");
    run_to(10);
    assert_content("abcd", 0, 10);
    assert_non_null(strstr(said, "its cursor is of another outbox"));
}

static void test_bad_cursor(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "hello\n", "ringtape cursor 1 outbox=" FAKE_ID " offset=7 length=4",
                                      "ringtape cursor 1 outbox=" FAKE_ID " offset=-7 length=40\n",
                                      "ringtape cursor 1 outbox=" FAKE_ID " offset=7 length=4\n\n"};
    fake_set(0, 10);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(path, "w", "abcdef");
        write_file(cursor_path, "w", bad[i]);
        struct sink *s = start();
        await_error(s, "expected 'ringtape cursor 1 outbox=");
        assert_int_equal(sink_stop(s, 2000), 0);
        assert_content("abcdef", 0, 0);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    struct error err;
    struct sink_config c = config();
    c.path = "";
    assert_null(sink_start(&c, &err));
    assert_non_null(strstr(err.text, "sink jsonl: found a path of 0 bytes"));
    c.path = "/dev/null";
    struct sink *s = sink_start(&c, &err);
    await_error(s, "/dev/null is no regular file");
    assert_int_equal(sink_stop(s, 2000), 0);
    c.path = "/nowhere/alerts";
    s = sink_start(&c, &err);
    await_error(s, "cannot open /nowhere/alerts: No such file");
    assert_int_equal(sink_stop(s, 2000), 0);
}

/* One process writes: the second waits until the first is gone. */
static void test_one_writer(void **state)
{
    (void)state;
    fake_set(0, 30);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    struct sink *s = start();
    await_error(s, "is being written by another process");
    close(fd);
    assert_true(await_level(s, 30));
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_content("", 0, 30);
}

/* A disk that is full for a while: what was written in part is cut off. */
static void test_no_space(void **state)
{
    (void)state;
    struct rlimit before, little;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    little = before;
    little.rlim_cur = 3001;
    fake_set(0, 1000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    struct sink *s = start();
    await_error(s, "cannot write ");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    bool level = await_level(s, 1000);
    assert_int_equal(sink_stop(s, 2000), 0);
    assert_true(level);
    assert_content("", 0, 1000);
}

/* kill -9 at any moment, until all is in. */
static void test_kill(void **state)
{
    (void)state;
    enum { EVENTS = 6000 };
    int kills = 0;
    fake_set(0, EVENTS);
    for (unsigned round = 0;; round++) {
        assert_true(round < 1000);
        pid_t pid = fork();
        if (pid == 0) {
            struct sink_config c = config();
            struct sink *s = sink_start(&c, NULL);
            _exit(s && await_level(s, EVENTS) && sink_stop(s, 2000) == 0 ? 0 : 1);
        }
        usleep(500 + round * 7919 % (9000 + round * 500)); /* later and later, for slow disks */
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        kills++;
    }
    run_to(EVENTS);
    assert_content("", 0, EVENTS);
    print_message("killed %d times\n", kills);
    assert_true(kills > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_alerts_and_cursor, setup),
        cmocka_unit_test_setup(test_keeps_what_was_there, setup),
        cmocka_unit_test_setup(test_cuts_an_unconfirmed_tail, setup),
        cmocka_unit_test_setup(test_shorter_than_the_cursor, setup),
        cmocka_unit_test_setup(test_cursor_of_another_outbox, setup),
        cmocka_unit_test_setup(test_bad_cursor, setup),
        cmocka_unit_test_setup(test_refusals, setup),
        cmocka_unit_test_setup(test_one_writer, setup),
        cmocka_unit_test_setup(test_no_space, setup),
        cmocka_unit_test_setup(test_kill, setup),
    };
    return cmocka_run_group_tests_name("sink_jsonl", tests, make_dir, remove_dir);
}
