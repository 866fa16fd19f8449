#include "net/conditions.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/condition.h"
#include "net/word_file.h"

/* The path is seen from the project's root, where the compiler runs. */
__asm__(".pushsection .rodata\nconditions_default:\n.incbin \"scripts/market/conditions.txt\"\n.byte 0\n"
        ".popsection\n");
extern const char conditions_default[] __attribute__((visibility("hidden")));

static const char *const dialects[CONDITION_DIALECTS] = {"lean", "polygon"};

static bool tapes_good(const char *tapes)
{
    return *tapes && strspn(tapes, "ABC") == strlen(tapes) && strlen(tapes) <= 3;
}

/* The place of `word` in a list that NULL ends, -1 with err. */
static int choice(const struct word_file *f, const char *word, const char *const *list, struct error *err)
{
    char all[96] = "";
    unsigned n = 0;
    for (size_t at = 0; list[n]; n++) {
        if (!strcmp(word, list[n]))
            return (int)n;
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", n ? ", " : "", list[n]);
    }
    const char *near = error_nearest(word, list, n);
    return word_file_bad(f, word, err, "one of %s%s%s%s", all, near ? " (did you mean " : "",
                         near ? near : "", near ? "?)" : "");
}

/* update TAPES CODES HIGH_LOW LAST VOLUME */
static int read_update(struct conditions *c, const struct word_file *f, struct error *err)
{
    static const char *const high_low[] = {"yes", "no", "extended", NULL};
    static const char *const last[] = {"yes", "no", "extended", "later", "first", NULL};
    static const char *const volume[] = {"yes", "no", NULL};
    if (f->n != 6)
        return word_file_bad(f, f->word[0], err, "update TAPES CODES HIGH_LOW LAST VOLUME, found %u words",
                             f->n);
    if (!tapes_good(f->word[1]))
        return word_file_bad(f, f->word[1], err, "tapes, of the letters A, B and C");
    for (const char *s = f->word[2]; *s; s++)
        if (!isgraph((unsigned char)*s) || strchr(":;-?", *s) || strchr(s + 1, *s))
            return word_file_bad(f, f->word[2], err,
                                 "codes, each a character of its own but none of : ; - ?");
    int h = choice(f, f->word[3], high_low, err), l = h < 0 ? -1 : choice(f, f->word[4], last, err),
        v = l < 0 ? -1 : choice(f, f->word[5], volume, err);
    if (v < 0)
        return -1;
    if ((h == 1 && l != 1) || (h == 2 && l != 1 && l != 2))
        return word_file_bad(f, f->word[4], err,
                             "a last that is no wider than high and low ('%s'): a last sale is within them",
                             f->word[3]);
    struct condition_table table;
    size_t len = strlen(c->text), wants = strlen(f->word[1]) + strlen(f->word[2]) + 8;
    if (len + wants > sizeof c->text)
        return word_file_bad(f, f->word[2], err, "rows of %d bytes together at most", CONDITIONS_TEXT_MAX);
    snprintf(c->text + len, sizeof c->text - len, ";%s:%s:%c%c%c", f->word[1], f->word[2], "ynx"[h],
             "ynxlf"[l], "yn"[v]);
    return condition_table_parse(&table, c->text) ? 0
                                                  : word_file_bad(f, f->word[2], err,
                                                                  "codes that no line before has for these "
                                                                  "tapes");
}

/* map SOURCE TAPES NAME CODE */
static int read_map(struct conditions *c, const struct word_file *f, struct error *err)
{
    static const char *const names[] = {"lean", "polygon", NULL};
    if (f->n != 5)
        return word_file_bad(f, f->word[0], err, "map SOURCE TAPES NAME CODE, found %u words", f->n);
    int d = choice(f, f->word[1], names, err);
    if (d < 0)
        return -1;
    if (!tapes_good(f->word[2]))
        return word_file_bad(f, f->word[2], err, "tapes, of the letters A, B and C");
    char *end;
    errno = 0;
    unsigned long number = strtoul(f->word[3], &end, d == CONDITION_LEAN ? 16 : 10);
    if (*end || !isxdigit((unsigned char)*f->word[3]) || errno || number > UINT32_MAX ||
        (d == CONDITION_LEAN && (number == 0 || (number & (number - 1)))))
        return word_file_bad(f, f->word[3], err, d == CONDITION_LEAN ? "one bit, hexadecimal" : "a number");
    if (strlen(f->word[4]) != 1)
        return word_file_bad(f, f->word[4], err, "one code, or - for none");
    unsigned i = 0;
    while (i < c->names[d] && c->name[d][i].number != number)
        i++;
    if (i == CONDITION_NAMES_MAX)
        return word_file_bad(f, f->word[3], err, "at most %d names of %s", CONDITION_NAMES_MAX, dialects[d]);
    struct condition_name *name = &c->name[d][i];
    name->number = (uint32_t)number;
    c->names[d] += i == c->names[d];
    for (const char *t = f->word[2]; *t; t++) {
        if (name->code[*t - 'A'])
            return word_file_bad(f, f->word[3], err, "a name that no line before gives for tape %c", *t);
        name->code[*t - 'A'] = (uint8_t)*f->word[4];
    }
    return 0;
}

static int read_line(struct conditions *c, const struct word_file *f, struct error *err)
{
    static const char *const kinds[] = {"version", "update", "map", NULL};
    int kind = choice(f, f->word[0], kinds, err);
    if (kind < 0)
        return -1;
    if (kind != 0 && !*c->text)
        return word_file_bad(f, f->word[0], err, "version NAME first");
    if (kind == 1)
        return read_update(c, f, err);
    if (kind == 2)
        return read_map(c, f, err);
    if (*c->text || f->n != 2 || strlen(f->word[1]) > 32 || strpbrk(f->word[1], ":;"))
        return word_file_bad(f, f->n > 1 ? f->word[1] : NULL, err,
                             "version NAME once, a name of at most 32 characters");
    snprintf(c->text, sizeof c->text, "%s", f->word[1]);
    return 0;
}

int conditions_read(struct conditions *c, const char *path, struct error *err)
{
    struct word_file f;
    memset(c, 0, sizeof *c);
    if (word_file_open(&f, path, conditions_default, "conditions.txt", err) < 0)
        return error_prefix(err, "bars.conditions");
    int rc = 0;
    while (rc == 0 && word_file_next(&f))
        rc = read_line(c, &f, err);
    if (rc == 0 && !strchr(c->text, ';'))
        rc = error_set(err, "%s: found no line 'update'; expected the table of sale conditions", f.path);
    word_file_close(&f);
    return rc < 0 ? error_prefix(err, "bars.conditions") : 0;
}

static void add_code(struct msg_trade *t, uint8_t code)
{
    if (code == CONDITION_NONE)
        return;
    for (unsigned i = 0; i < sizeof t->cond; i++)
        if (!t->cond[i] || t->cond[i] == code) {
            t->cond[i] = code;
            return;
        }
}

void conditions_map(const struct conditions *c, enum condition_dialect dialect, uint32_t number,
                    struct msg_trade *t)
{
    unsigned tape = t->tape >= 'A' && t->tape <= 'C' ? (unsigned)(t->tape - 'A') : 0u;
    bool bits = dialect == CONDITION_LEAN;
    uint32_t left = number;
    for (unsigned i = 0; i < c->names[dialect] && (left || !bits); i++) {
        const struct condition_name *n = &c->name[dialect][i];
        if ((bits ? !(left & n->number) : n->number != number) || !n->code[tape])
            continue;
        add_code(t, n->code[tape]);
        if (!bits)
            return;
        left &= ~n->number;
    }
    if (left || !bits)
        add_code(t, CONDITION_STRANGE);
}
