/* A settings file: what is taken is within its bounds and can be written and read again; what is refused
 * names its line. */
#include "net/settings.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_taken(const struct settings *s)
{
    struct settings again;
    struct error err;
    settings_defaults(&again);
    for (int i = 0; i < SETTING_COUNT; i++) {
        const struct setting_info *t = &setting_table[i];
        char set[256], value[SETTING_TEXT_MAX];
        setting_value(s, (enum setting_id)i, value);
        if (t->type == SETTING_INT || t->type == SETTING_POW2)
            assert(atoll(value) >= t->min && atoll(value) <= t->max);
        snprintf(set, sizeof set, "%s=%s", t->name, value);
        int bad = settings_override(&again, set, &err);
        assert(!bad);
        assert(!memcmp((const char *)s + t->offset, (const char *)&again + t->offset, 1));
        char value_again[SETTING_TEXT_MAX];
        setting_value(&again, (enum setting_id)i, value_again);
        assert(!strcmp(value, value_again));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings s;
    struct error err = {""};
    char *copy = malloc(size + !size); /* of exact size, so that reading past it is seen */
    memcpy(copy, data, size);
    settings_defaults(&s);
    if (!settings_parse(&s, "fuzz.ini", copy, size, &err)) {
        check_taken(&s);
    } else {
        assert(!strncmp(err.text, "fuzz.ini:", 9) && isdigit((unsigned char)err.text[9]));
        for (const char *c = err.text; *c; c++)
            assert(!iscntrl((unsigned char)*c));
    }
    free(copy);
    return 0;
}
