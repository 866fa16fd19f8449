#include "core/error.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *err, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return -1;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (err) {
        struct error old = *err;
        va_list ap;
        va_start(ap, format);
        int n = vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof err->text)
            snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", old.text);
    }
    return -1;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Optimal string alignment distance (edits and swaps of neighbours), for words of at most 48 characters;
 * upper and lower case are the same. */
static unsigned edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
    unsigned row[3][49];
    for (size_t j = 0; j <= lb; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned d = last[j - 1] + !same_letter(a[i - 1], b[j - 1]);
            if (last[j] + 1 < d)
                d = last[j] + 1;
            if (now[j - 1] + 1 < d)
                d = now[j - 1] + 1;
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]) &&
                before[j - 2] + 1 < d)
                d = before[j - 2] + 1;
            now[j] = d;
        }
    }
    return row[la % 3][lb];
}

const char *error_nearest(const char *word, const char *const names[], unsigned n)
{
    const char *best = NULL;
    size_t lw = strlen(word);
    unsigned least = lw < 4 ? 2 : (unsigned)lw / 3 + 2; /* what is further away than this helps nobody */
    if (lw > 48)
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        size_t ln = strlen(names[i]);
        if (ln > 48)
            continue;
        unsigned d = edit_distance(word, lw, names[i], ln);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}
