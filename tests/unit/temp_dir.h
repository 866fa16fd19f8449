/* A directory of a test's own: make_dir before it, remove_dir after it. */
#ifndef TESTS_UNIT_TEMP_DIR_H
#define TESTS_UNIT_TEMP_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];

/* A shell's command, which must succeed. */
__attribute__((format(printf, 1, 2), unused)) static void run(const char *format, ...)
{
    char command[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

static int make_dir(void **state)
{
    (void)state;
    /* in memory where there is such a place: thousands of syncs are not what is tested */
    snprintf(dir, sizeof dir, "%s/ringtape-test-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    return mkdtemp(dir) ? 0 : -1;
}

/* With what lies beside it under its name. */
static int remove_dir(void **state)
{
    (void)state;
    run("rm -rf %s %s.*", dir, dir);
    return 0;
}

#endif
