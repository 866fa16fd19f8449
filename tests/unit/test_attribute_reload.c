/* Attributes that are read again: what differs from what symbols were given becomes messages, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "workers/attribute_reload.h"

enum { IDS = 8 };
static struct symtab *names;

static void put_symbol(struct attribute_reload *r, uint32_t id, const char *name)
{
    struct msg m[MSG_SLOTS_MAX];
    struct symtab_identity s = {.name_len = (uint8_t)strlen(name)};
    strcpy(s.name, name);
    if (symtab_find(names, name, s.name_len) < 0)
        assert_int_equal(symtab_add(names, &s), id);
    msg_begin(m, MSG_SYMBOL, id, MSG_FIRST_BYTES + s.name_len);
    attribute_reload_see(r, m);
}

static struct attribute_file *file(const char *text)
{
    char path[] = "/tmp/ringtape-test-XXXXXX.csv";
    struct error err;
    int fd = mkstemps(path, 4);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    struct attribute_file *f = attribute_file_load(path, NULL, NULL, NULL, &err);
    unlink(path);
    if (!f)
        fail_msg("%s", err.text);
    return f;
}

/* The messages as "id:sector …", - for none; they are given. */
static void expect(struct attribute_reload *r, const char *want)
{
    char said[256] = "";
    uint32_t n;
    struct msg *m = attribute_reload_take(r, names, &n);
    for (uint32_t at = 0; at < n; at += msg_slot_count(&m[at])) {
        struct attributes a;
        assert_true(msg_valid(&m[at], n - at) && attributes_read(&m[at], &a));
        snprintf(said + strlen(said), sizeof said - strlen(said), "%u:%s ", m[at].symbol,
                 attributes_known(&a) ? a.text[ATTRIBUTE_SECTOR] : "-");
        attribute_reload_see(r, &m[at]);
    }
    assert_string_equal(said, want);
    assert_true(!m == !n && !attribute_reload_is_due(r));
    free(m);
}

static void test_reload(void **state)
{
    struct attribute_reload *r = attribute_reload_new(IDS);
    void *mem = aligned_alloc(symtab_align(), symtab_footprint(IDS));
    struct msg other = {.type = MSG_ATTR, .symbol = IDS + 1};
    (void)state;
    names = symtab_new(mem, IDS);
    put_symbol(r, 0, "A");
    put_symbol(r, 1, "B");
    attribute_reload_see(r, &other);          /* of no symbol that there is */
    assert_false(attribute_reload_is_due(r)); /* no file was read since the start */

    attribute_reload_set(r, file("symbol,sector\nA,Energy\nC,Banks\n"));
    assert_true(attribute_reload_is_due(r));
    expect(r, "0:Energy ");
    attribute_reload_set(r, file("symbol,sector\nA,Energy\nC,Banks\n"));
    expect(r, ""); /* the same file */

    put_symbol(r, 2, "C"); /* after it was read */
    assert_true(attribute_reload_is_due(r));
    expect(r, "2:Banks ");
    put_symbol(r, 2, "C"); /* read again by an ingest that comes back */
    assert_false(attribute_reload_is_due(r));

    struct attribute_file *f = file("symbol,sector\nB,Tech\nC,Banks\n");
    assert_int_equal(attribute_reload_count(r, f, names), 2);
    attribute_reload_set(r, f);
    expect(r, "0:- 1:Tech ");
    attribute_reload_free(r);
    free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reload)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
