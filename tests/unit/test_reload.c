/* What a file of rules changes of those in force; the log of it, whole, torn and damaged. */
#include "workers/reload.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/parts.h"
#include "net/rules_log.h"

static struct error err;

static struct rules_file *file(const char *text)
{
    struct rules_file *f = rules_file_parse(text, strlen(text), "test", 10, &err);
    if (!f)
        fail_msg("%s", err.text);
    return f;
}

/* The records, as ingest and the engine see them: "slot:id vN on|off …". */
static void see(struct reload *r, const struct msg *m, uint32_t n, char *said)
{
    static struct parts parts;
    for (uint32_t at = 0; at < n; at += msg_slot_count(&m[at])) {
        struct rule rule;
        assert_true(msg_valid(&m[at], n - at));
        if (parts_add(&parts, &m[at]) <= 0)
            continue;
        assert_int_equal(rule_decode(parts.bytes, parts.len, &rule, &err), 0);
        said +=
            sprintf(said, "%u:%s v%u %s ", m[at].part.id, rule.id, rule.version, rule.enabled ? "on" : "off");
        reload_see(r, m[at].part.id, parts.bytes, parts.len);
    }
}

/* Makes the file's rules those in force. */
static void change(struct reload *r, const char *text, const char *counts, const char *records)
{
    char found[4000] = "", said[100];
    struct reload_change c;
    struct rules_file *f = file(text);
    assert_int_equal(reload_compare(r, f, 100, &c, &err), 0);
    snprintf(said, sizeof said, "%u %u %u %u", c.added, c.changed, c.removed, c.unchanged);
    see(r, c.m, c.n, found);
    assert_string_equal(said, counts);
    assert_string_equal(found, records);
    reload_change_free(&c);
    rules_file_free(f);
}

static void test_changes(void **state)
{
    (void)state;
    struct reload *r = reload_new();
    change(r, "[{\"id\":\"a\",\"expr\":\"price > 1\"},{\"id\":\"b\",\"version\":7,\"expr\":\"price > 2\"}]",
           "2 0 0 0", "0:a v1 on 1:b v7 on ");
    change(r, "[{\"id\":\"b\",\"expr\":\"price > 2\"},{\"id\":\"a\",\"expr\":\"price > 1\"}]", "0 0 0 2", "");
    change(r, "[{\"id\":\"a\",\"expr\":\"price > 1\"},{\"id\":\"b\",\"expr\":\"price > 3\"}]", "0 1 0 1",
           "2:b v8 on ");
    change(r,
           "[{\"id\":\"a\",\"expr\":\"price > "
           "1\",\"cooldown\":5},{\"id\":\"b\",\"version\":20,\"expr\":\"price > 3\"}]",
           "0 2 0 0", "3:a v2 on 4:b v20 on ");
    change(r, "[{\"id\":\"c\",\"expr\":\"bid > 3\"},{\"id\":\"b\",\"expr\":\"price > 3\"}]", "1 0 1 1",
           "5:c v1 on 6:a v3 off ");
    change(r, "[]", "0 0 2 0", "7:b v21 off 8:c v2 off ");
    change(r, "[]", "0 0 0 0", "");
    change(r, "[{\"id\":\"a\",\"expr\":\"price > 1\"}]", "0 1 0 0", "9:a v4 on ");
    reload_free(r);
}

static void test_many(void **state)
{
    (void)state;
    struct reload *r = reload_new();
    char *text = malloc(300000), *said = malloc(300000), *p = text;
    struct reload_change c;
    p += sprintf(p, "[");
    for (int i = 0; i < 3000; i++)
        p += sprintf(p, "%s{\"id\":\"rule-%d\",\"expr\":\"price > %d\"}", i ? "," : "", i, i);
    sprintf(p, "]");
    struct rules_file *f = file(text);
    assert_int_equal(reload_compare(r, f, 2999, &c, &err), -1);
    assert_string_equal(
        err.text, "with these changes the run has had 3000 versions of rules, but limits.rules is 2999");
    assert_int_equal(reload_compare(r, f, 3000, &c, &err), 0);
    see(r, c.m, c.n, said);
    reload_change_free(&c);
    assert_int_equal(reload_compare(r, f, 3000, &c, &err), 0);
    assert_int_equal(c.unchanged, 3000);
    assert_int_equal(c.n, 0);
    rules_file_free(f);
    reload_free(r);
    free(text);
    free(said);
}

static char dir[] = "/tmp/ringtape-rules-XXXXXX", log_path[64];

static void write_log(struct msg m[2][RULE_MESSAGE_SLOTS], uint32_t n[2])
{
    struct rules_file *f =
        file("[{\"id\":\"a\",\"expr\":\"price > 1\"},{\"id\":\"b\",\"expr\":\"price > 2\"}]");
    struct rules_log *l = rules_log_open(dir, true, &err);
    assert_non_null(l);
    assert_int_equal(l->n, 0);
    for (int i = 0; i < 2; i++) {
        n[i] = (uint32_t)rule_messages(&f->rule[i], (uint32_t)i, m[i]);
        assert_int_equal(rules_log_add(l, i ? 1234 : 0, m[i], n[i], &err), 0);
    }
    rules_log_close(l);
    rules_file_free(f);
}

static void test_log(void **state)
{
    (void)state;
    static struct msg m[2][RULE_MESSAGE_SLOTS];
    uint32_t n[2];
    struct stat st;
    write_log(m, n);
    struct rules_log *l = rules_log_open(dir, false, &err);
    assert_non_null(l);
    assert_int_equal(l->n, 2);
    assert_int_equal(l->batch[1].seq, 1234);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(l->batch[i].n, n[i]);
        assert_memory_equal(l->batch[i].m, m[i], n[i] * sizeof **m);
    }
    rules_log_close(l);
    /* torn anywhere: the batches before are there, and what comes next takes the place */
    assert_int_equal(stat(log_path, &st), 0);
    off_t first = 16 + 24 + (off_t)(n[0] * sizeof **m);
    for (off_t size = st.st_size - 1; size >= 0; size -= 37) {
        write_log(m, n);
        assert_int_equal(truncate(log_path, size), 0);
        l = rules_log_open(dir, false, &err);
        assert_non_null(l);
        assert_int_equal(l->n, size >= first);
        if (l->n) {
            assert_int_equal(rules_log_add(l, 77, m[1], n[1], &err), 0);
            rules_log_close(l);
            l = rules_log_open(dir, false, &err);
            assert_non_null(l);
            assert_int_equal(l->batch[1].seq, 77);
        }
        rules_log_close(l);
    }
}

static void test_damaged_log(void **state)
{
    (void)state;
    static struct msg m[2][RULE_MESSAGE_SLOTS];
    uint32_t n[2], refused = 0, tried = 0;
    write_log(m, n);
    off_t first = 16 + 24 + (off_t)(n[0] * sizeof **m);
    for (off_t at = 0; at < first; at += 3) {
        uint8_t byte;
        write_log(m, n);
        int fd = open(log_path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        struct rules_log *l = rules_log_open(dir, false, &err);
        tried++;
        refused += l == NULL;
        assert_true(!l || l->n == 0); /* a length that goes beyond the end looks torn */
        rules_log_close(l);
    }
    assert_true(refused > tried * 3 / 4);
}

static int remove_dir(void **state)
{
    (void)state;
    unlink(log_path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes), cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_log), cmocka_unit_test(test_damaged_log)};
    if (!mkdtemp(dir))
        return 1;
    snprintf(log_path, sizeof log_path, "%s/rules.log", dir);
    return cmocka_run_group_tests_name("reload", tests, NULL, remove_dir);
}
