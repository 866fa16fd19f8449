#include "net/word_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int word_file_open(struct word_file *f, const char *path, const char *fallback, const char *fallback_name,
                   struct error *err)
{
    *f = (struct word_file){.path = *path ? path : fallback_name};
    if (!*path) {
        f->text = f->next = strdup(fallback);
        return f->text ? 0 : error_set(err, "%s: out of memory", f->path);
    }
    FILE *in = fopen(path, "re");
    if (!in)
        return error_set(err, "cannot open %s: %s", path, strerror(errno));
    f->text = f->next = malloc(WORD_FILE_BYTES_MAX + 2);
    size_t len = f->text ? fread(f->text, 1, WORD_FILE_BYTES_MAX + 1, in) : 0;
    int rc = 0;
    if (!f->text)
        rc = error_set(err, "%s: out of memory", path);
    else if (ferror(in))
        rc = error_set(err, "cannot read %s: %s", path, strerror(errno));
    else if (len > WORD_FILE_BYTES_MAX)
        rc = error_set(err, "%s: more than %d bytes", path, WORD_FILE_BYTES_MAX);
    else if (memchr(f->text, 0, len))
        rc = error_set(err, "%s: found a NUL byte; expected text", path);
    fclose(in);
    if (rc < 0)
        word_file_close(f);
    else
        f->text[len] = 0;
    return rc;
}

int word_file_next(struct word_file *f)
{
    static const char blanks[] = " \t\r";
    while (*f->next) {
        char *at = f->next, *end = at + strcspn(at, "\n");
        f->next = *end ? end + 1 : end;
        *end = 0;
        f->line++;
        f->n = 0;
        at += strspn(at, blanks);
        if (*at == '#')
            continue;
        while (*at) {
            size_t len = strcspn(at, blanks);
            char *rest = at + len + strspn(at + len, blanks);
            if (f->n < WORD_LINE_WORDS)
                f->word[f->n] = at;
            f->n++;
            at[len] = 0;
            at = rest;
        }
        if (f->n)
            return 1;
    }
    return 0;
}

int word_file_bad(const struct word_file *f, const char *found, struct error *err, const char *expected, ...)
{
    char text[256], shown[48];
    va_list ap;
    va_start(ap, expected);
    vsnprintf(text, sizeof text, expected, ap);
    va_end(ap);
    snprintf(shown, sizeof shown, found ? "'%.40s'" : "nothing", found);
    for (char *c = shown; *c; c++)
        *c = iscntrl((unsigned char)*c) ? '?' : *c;
    return error_set(err, "%s:%u: found %s; expected %s", f->path, f->line, shown, text);
}

void word_file_close(struct word_file *f)
{
    free(f->text);
    *f = (struct word_file){0};
}
