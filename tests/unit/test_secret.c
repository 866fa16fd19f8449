/* The first line of a file, or an error that names the setting, the file and never the secret. */
#include "net/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/ringtape-secret-XXXXXX";

static void put(const char *bytes, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void assert_read(const char *content, const char *expected)
{
    char line[SECRET_BYTES];
    struct error err = {""};
    put(content, strlen(content));
    assert_int_equal(secret_read("a.password_file", path, line, &err), 0);
    assert_string_equal(line, expected);
}

static void test_first_line(void **state)
{
    (void)state;
    assert_read("secret\n", "secret");
    assert_read("secret", "secret");
    assert_read("secret\r\nmore\n", "secret");
    assert_read(" with spaces \n", " with spaces ");
}

static void test_none(void **state)
{
    (void)state;
    char line[SECRET_BYTES] = "x";
    struct error err = {""};
    assert_int_equal(secret_read("a.password_file", "", line, &err), 0);
    assert_string_equal(line, "");
    assert_int_equal(secret_read("a.password_file", NULL, line, &err), 0);
}

static void assert_refused(const char *file, const char *why, const char *secret)
{
    char line[SECRET_BYTES];
    struct error err = {""};
    assert_int_equal(secret_read("a.password_file", file, line, &err), -1);
    assert_non_null(strstr(err.text, "a.password_file"));
    assert_non_null(strstr(err.text, file));
    assert_non_null(strstr(err.text, why));
    assert_true(!secret || !strstr(err.text, secret));
    assert_string_equal(line, "");
}

static void test_refused(void **state)
{
    (void)state;
    char longest[SECRET_BYTES + 1];
    put("\nsecond\n", 8);
    assert_refused(path, "empty", "second");
    put("", 0);
    assert_refused(path, "empty", NULL);
    assert_refused("/nowhere/at/all", "No such file", NULL);
    memset(longest, 'x', sizeof longest);
    put(longest, SECRET_BYTES - 1); /* it would be cut by the buffer: nobody could tell */
    assert_refused(path, "too long", "xxx");
    longest[SECRET_BYTES - 2] = '\n';
    put(longest, SECRET_BYTES - 1);
    longest[SECRET_BYTES - 2] = 0;
    assert_read(longest, longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_line), cmocka_unit_test(test_none),
                                       cmocka_unit_test(test_refused)};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    int failed = cmocka_run_group_tests_name("secret", tests, NULL, NULL);
    unlink(path);
    return failed;
}
