#include "shm/workspace.h"
#include "shm/errlog.h"
#include "shm/heartbeat.h"
#include "shm/ring.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define SCHEMA UINT64_C(0x1234)

/* Where the header keeps what the tests damage. */
enum { AT_MAGIC = 0, AT_VERSION = 8, AT_BYTES = 48, AT_LAYOUT = 64, AT_SCANNERS = 104 };

static char dir[PATH_MAX], link_path[PATH_MAX + 16];
static struct topology t;
static struct error err, warning;

static int setup(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    struct topology_options small = {.scanners = 2,
                                     .tick_ring_slots = 1024,
                                     .event_ring_slots = 256,
                                     .symbols_max = 100,
                                     .rules_max = 50,
                                     .rules_bytes = 4096,
                                     .staging_bytes = 65536};
    snprintf(dir, sizeof dir, "%s/ringtape-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir) || topology_build(&t, &small, &err))
        return -1;
    snprintf(link_path, sizeof link_path, "%s/workspace", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char file[PATH_MAX + 16], target[PATH_MAX];
    ssize_t n = readlink(link_path, target, sizeof target - 1);
    if (n > 0) {
        target[n] = 0;
        unlink(target);
    }
    unlink(link_path);
    snprintf(file, sizeof file, "%s/lock", dir);
    unlink(file);
    return rmdir(dir);
}

static struct workspace *create(void)
{
    struct workspace *ws = workspace_create(dir, &t, SCHEMA, PAGES_NORMAL, &warning, &err);
    if (!ws)
        fail_msg("%s", err.text);
    assert_string_equal(warning.text, "");
    return ws;
}

static struct workspace *join(enum workspace_mode mode)
{
    struct workspace *ws = workspace_join(dir, mode, SCHEMA, &err);
    if (!ws)
        fail_msg("%s", err.text);
    return ws;
}

static void expect_error(const char *part)
{
    if (!strstr(err.text, part))
        fail_msg("expected \"%s\" in: %s", part, err.text);
    assert_true(strlen(err.text) < sizeof err.text - 1); /* not cut */
}

static void expect_refusal(const char *part, const char *more)
{
    if (workspace_join(dir, WORKSPACE_READ, SCHEMA, &err) ||
        workspace_join(dir, WORKSPACE_WRITE, SCHEMA, &err))
        fail_msg("expected a refusal with \"%s\"", part);
    expect_error(part);
    expect_error(more);
    expect_error(dir);
}

static void damage(off_t at, uint64_t value)
{
    int fd = open(link_path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &value, sizeof value, at), sizeof value);
    close(fd);
}

static void test_create_and_join(void **state)
{
    (void)state;
    struct workspace *ws = create(), *other = join(WORKSPACE_WRITE), *reader = join(WORKSPACE_READ);
    assert_int_equal(workspace_page_bytes(ws), 4096);
    assert_int_equal(workspace_creator_pid(reader), getpid());
    assert_true(workspace_alive(reader));
    assert_true(workspace_created_ns(reader) > INT64_C(1600000000000000000));
    assert_int_equal(workspace_bytes(reader), workspace_bytes(ws));
    assert_true(workspace_topology(reader)->layout_hash == t.layout_hash);

    counter_add(workspace_counters(ws, ROLE_SCANNER, 1), SCANNER_EVENTS, 3);
    assert_int_equal(counter_get(workspace_counters(reader, ROLE_SCANNER, 1), SCANNER_EVENTS), 3);
    struct symtab_identity spy = {.name = "SPY", .name_len = 3};
    assert_int_equal(symtab_add(workspace_symtab(other), &spy), 0);
    assert_int_equal(symtab_find(workspace_symtab(reader), "SPY", 3), 0);

    workspace_leave(other);
    workspace_remove(ws);
    assert_int_equal(symtab_find(workspace_symtab(reader), "SPY", 3), 0); /* the memory stays while mapped */
    workspace_leave(reader);
    expect_refusal("no instance is running", "ringtape run");
}

static void test_every_object_is_there(void **state)
{
    (void)state;
    struct workspace *ws = create();
    size_t bytes;
    for (uint32_t k = 0; k < 2; k++) {
        void *mem = workspace_object(ws, "tick_ring", k, &bytes);
        assert_non_null(ring_join(mem, bytes, &err));
        mem = workspace_object(ws, "event_ring", k, &bytes);
        assert_int_equal(ring_join(mem, bytes, &err)->capacity, 256);
        assert_int_equal(rule_stats_count(workspace_rule_stats(ws, k)), 50);
    }
    assert_null(workspace_object(ws, "tick_ring", 2, &bytes));
    assert_null(workspace_object(ws, "ring", 0, NULL));
    assert_null(workspace_counters(ws, ROLE_SCANNER, 2));
    assert_null(workspace_rule_stats(ws, 2));
    assert_null(workspace_histogram(ws, ROLE_SINK, 0, SINK_HISTOGRAM_COUNT));
    assert_int_equal(symtab_rows_max(workspace_symtab(ws)), 100);
    assert_int_equal(heartbeats_count(workspace_heartbeats(ws)), t.role_count);
    assert_non_null(workspace_errlog(ws));
    assert_non_null(workspace_ruletab(ws));
    const uint64_t *staging = workspace_object(ws, "staging", 0, &bytes);
    assert_int_equal(bytes, 65536);
    assert_int_equal(staging[0] | staging[8191], 0);
    assert_non_null(workspace_object(ws, "control", 0, &bytes));
    for (uint32_t i = 0; i < t.role_count; i++) {
        assert_non_null(workspace_counters(ws, t.roles[i].kind, t.roles[i].index));
        assert_non_null(workspace_histogram(ws, t.roles[i].kind, t.roles[i].index, LOOP_STEP_NS));
    }
    workspace_remove(ws);
}

static void test_not_running(void **state)
{
    (void)state;
    expect_refusal("no instance is running", "ringtape run");
    struct workspace *ws = create();
    char file[PATH_MAX] = "";
    assert_true(readlink(link_path, file, sizeof file - 1) > 0);
    workspace_leave(ws);
    assert_int_equal(unlink(file), 0);
    expect_refusal("is gone", file);
    assert_null(workspace_join("/nonexistent", WORKSPACE_READ, SCHEMA, &err));
    expect_error("no instance is running");
}

static void test_refusals(void **state)
{
    (void)state;
    struct workspace *ws = create();
    uint64_t layout = t.layout_hash, bytes = workspace_bytes(ws);
    workspace_leave(join(WORKSPACE_READ)); /* as it is, it is good */

    damage(AT_MAGIC, 42);
    expect_refusal("magic 000000000000002a, expected", "no workspace");
    damage(AT_MAGIC, UINT64_C(0x65706174676e6972));
    damage(AT_VERSION, WORKSPACE_VERSION + 1);
    expect_refusal("version 0000000000000002, expected 0000000000000001", "another build");
    damage(AT_VERSION, 0);
    expect_refusal("still being made", "try again");
    damage(AT_VERSION, WORKSPACE_VERSION);
    damage(AT_BYTES, bytes + 4096);
    expect_refusal("truncated", "Restart the instance");
    damage(AT_BYTES, bytes);
    damage(AT_LAYOUT, layout + 1);
    expect_refusal("layout", "another build");
    damage(AT_LAYOUT, layout);
    damage(AT_SCANNERS, 61 | UINT64_C(8) << 32);
    expect_refusal("scanners is 61", "restart the instance");
    damage(AT_SCANNERS, 1 | UINT64_C(8) << 32);
    expect_refusal("layout", "another build");
    damage(AT_SCANNERS, 2 | UINT64_C(8) << 32);
    workspace_leave(join(WORKSPACE_WRITE)); /* repaired: it was these words and nothing else */

    assert_null(workspace_join(dir, WORKSPACE_READ, SCHEMA + 1, &err));
    expect_error("schema of counters and metrics 0000000000001234, expected 0000000000001235");
    workspace_remove(ws);
}

static void test_truncated_file(void **state)
{
    (void)state;
    struct workspace *ws = create();
    uint64_t bytes = workspace_bytes(ws);
    workspace_leave(ws);
    assert_int_equal(truncate(link_path, (off_t)bytes - 4096), 0);
    expect_refusal("truncated", "Restart the instance");
    assert_int_equal(truncate(link_path, 100), 0);
    expect_refusal("truncated: 100 bytes, expected at least 4096", "Restart");
}

static void test_a_second_instance(void **state)
{
    (void)state;
    char pid[32];
    struct workspace *ws = create();
    snprintf(pid, sizeof pid, "process %d", getpid());
    assert_null(workspace_create(dir, &t, SCHEMA, PAGES_NORMAL, &warning, &err));
    expect_error("an instance is running here");
    expect_error(pid);
    assert_null(workspace_adopt(dir, &t, SCHEMA, &err));
    expect_error("an instance is running here");
    workspace_remove(ws);
    workspace_remove(create());
}

/* A child that creates and is killed; its roles, here this process, may live on. */
static void creator_dies(void)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct workspace *ws = workspace_create(dir, &t, SCHEMA, PAGES_NORMAL, NULL, NULL);
        if (ws && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    struct workspace *reader = join(WORKSPACE_READ);
    assert_int_equal(workspace_creator_pid(reader), child);
    assert_true(workspace_alive(reader));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_false(workspace_alive(reader));
    workspace_leave(reader);
    close(ready[0]);
    close(ready[1]);
}

static void test_stale_is_told_not_refused(void **state)
{
    (void)state;
    char pid[32];
    creator_dies();
    struct workspace *role = join(WORKSPACE_WRITE);
    assert_false(workspace_alive(role));
    snprintf(pid, sizeof pid, "process %d", getpid());
    assert_null(workspace_create(dir, &t, SCHEMA, PAGES_NORMAL, &warning, &err));
    expect_error("its roles still run");
    expect_error(pid);
    assert_null(workspace_adopt(dir, &t, SCHEMA, &err));
    expect_error("its roles still run");
    workspace_leave(role);
    struct workspace *reader = join(WORKSPACE_READ); /* a reader is in nobody's way */
    struct workspace *ws = create();
    assert_false(workspace_alive(reader));
    assert_true(workspace_alive(ws));
    workspace_leave(reader);
    workspace_remove(ws);
}

static void test_adopt_keeps_what_is_there(void **state)
{
    (void)state;
    static struct topology other;
    assert_null(workspace_adopt(dir, &t, SCHEMA, &err));
    expect_error("no instance is running");
    creator_dies();
    struct workspace *ws = join(WORKSPACE_WRITE);
    memcpy(workspace_object(ws, "staging", 0, NULL), "tail", 5);
    counter_add(workspace_counters(ws, ROLE_INGEST, 0), INGEST_ROWS_READ, 9);
    workspace_leave(ws);

    struct topology_options options = t.options;
    options.scanners = 3;
    assert_int_equal(topology_build(&other, &options, &err), 0);
    assert_null(workspace_adopt(dir, &other, SCHEMA, &err));
    expect_error("is not that of the settings");
    assert_null(workspace_adopt(dir, &t, SCHEMA + 1, &err));
    expect_error("schema");

    ws = workspace_adopt(dir, &t, SCHEMA, &err);
    assert_non_null(ws);
    assert_string_equal(workspace_object(ws, "staging", 0, NULL), "tail");
    assert_int_equal(counter_get(workspace_counters(ws, ROLE_INGEST, 0), INGEST_ROWS_READ), 9);
    assert_int_equal(workspace_creator_pid(ws), getpid());
    assert_true(workspace_alive(ws));
    workspace_leave(join(WORKSPACE_WRITE));
    workspace_remove(ws);
}

static void test_what_is_not_ours_is_left_alone(void **state)
{
    (void)state;
    FILE *f = fopen(link_path, "w");
    assert_true(f && fputs("precious", f) >= 0 && fclose(f) == 0);
    assert_null(workspace_create(dir, &t, SCHEMA, PAGES_NORMAL, &warning, &err));
    expect_error("move it away");
    assert_int_equal(access(link_path, F_OK), 0);
    expect_refusal("truncated: 8 bytes", "4096");
}

static void test_no_room(void **state)
{
    (void)state;
    static struct topology huge;
    struct statvfs fs;
    struct topology_options options = {.staging_bytes = UINT64_C(1) << 36};
    assert_int_equal(topology_build(&huge, &options, &err), 0);
    assert_int_equal(statvfs("/dev/shm", &fs), 0);
    if (fs.f_blocks == 0 || fs.f_bavail * fs.f_frsize > huge.bytes)
        skip();
    assert_null(workspace_create(dir, &huge, SCHEMA, PAGES_AUTO, &warning, &err));
    expect_error("MiB free");
    expect_error("remount,size=");
    assert_int_equal(access(link_path, F_OK), -1);
    workspace_remove(create()); /* nothing is left behind */
}

static void test_huge_page_fallback(void **state)
{
    (void)state;
    static struct topology large;
    struct topology_options options = {.staging_bytes = UINT64_C(1) << 36};
    assert_int_equal(topology_build(&large, &options, &err), 0);
    assert_null(workspace_create(dir, &large, SCHEMA, PAGES_HUGE, &warning, &err));
    expect_error("no 2 MiB pages");
    struct workspace *ws = workspace_create(dir, &t, SCHEMA, PAGES_AUTO, &warning, &err);
    assert_non_null(ws);
    if (workspace_page_bytes(ws) == 4096) {
        assert_non_null(strstr(warning.text, "4 KiB pages"));
        assert_true(strstr(warning.text, "sysctl -w vm.nr_hugepages=") || strstr(warning.text, "mount") ||
                    strstr(warning.text, "kernel has none"));
        assert_true(strlen(warning.text) < sizeof warning.text - 1);
    } else {
        assert_string_equal(warning.text, "");
    }
    workspace_remove(ws);
}

/* On a hugetlbfs of its own, in a mount namespace that ends with the child. 77: cannot be had here. */
static int try_huge_pages(void)
{
    char mount_dir[PATH_MAX + 16];
    snprintf(mount_dir, sizeof mount_dir, "%s/huge", dir);
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mkdir(mount_dir, 0700) ||
        mount("none", mount_dir, "hugetlbfs", 0, "pagesize=2M"))
        return 77;
    struct workspace *ws = workspace_create(dir, &t, SCHEMA, PAGES_AUTO, &warning, &err);
    if (!ws || workspace_page_bytes(ws) != 2 << 20)
        return 77;
    struct workspace *other = workspace_join(dir, WORKSPACE_WRITE, SCHEMA, &err);
    struct workspace *reader = workspace_join(dir, WORKSPACE_READ, SCHEMA, &err);
    if (!other || !reader || warning.text[0] || workspace_bytes(ws) % (2 << 20))
        return 1;
    counter_add(workspace_counters(other, ROLE_INGEST, 0), INGEST_ROWS_READ, 5);
    if (counter_get(workspace_counters(reader, ROLE_INGEST, 0), INGEST_ROWS_READ) != 5)
        return 2;
    workspace_leave(other);
    workspace_leave(reader);
    workspace_remove(ws);
    static struct topology large;
    struct topology_options options = {.staging_bytes = UINT64_C(1) << 36};
    if (topology_build(&large, &options, &err) ||
        workspace_create(dir, &large, SCHEMA, PAGES_HUGE, &warning, &err) ||
        !strstr(err.text, "sysctl -w vm.nr_hugepages=") || strstr(err.text, "mkdir"))
        return 3;
    return 0;
}

static void test_huge_pages(void **state)
{
    (void)state;
    char mount_dir[PATH_MAX + 16];
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(try_huge_pages());
    assert_int_equal(waitpid(child, &status, 0), child);
    snprintf(mount_dir, sizeof mount_dir, "%s/huge", dir);
    rmdir(mount_dir);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_and_join, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_object_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_running, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_second_instance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_is_told_not_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adopt_keeps_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_ours_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge_page_fallback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge_pages, setup, teardown),
    };
    return cmocka_run_group_tests_name("workspace", tests, NULL, NULL);
}
