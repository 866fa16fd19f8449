/* Names of indicators, from their table. */
#include "core/indicator_int.h"

#include <stdio.h>

#define X(kind, name_, form_, d0, d1, d2, least_, outputs_, unit_, reads_, warmup, calc, help_)              \
    [INDICATOR_##kind] = {.name = name_,                                                                     \
                          .form = form_,                                                                     \
                          .standard = {d0, d1, d2},                                                          \
                          .least = least_,                                                                   \
                          .outputs = outputs_,                                                               \
                          .unit = INDICATOR_##unit_,                                                         \
                          .reads = reads_,                                                                   \
                          .help = help_},
const struct indicator_row indicator_rows[INDICATOR_KIND_COUNT] = {INDICATORS(X)};
#undef X

/* Where output o stands in row->outputs, '|' not counted; *behind: is it behind one. */
static const char *output_at(const struct indicator_row *row, unsigned o, size_t *len, bool *behind)
{
    const char *p = row->outputs;
    *behind = false;
    for (;;) {
        p += strspn(p, " ");
        if (*p == 0)
            return NULL;
        *len = strcspn(p, " ");
        if (*p == '|')
            *behind = true;
        else if (o-- == 0)
            return p;
        p += *len;
    }
}

const char *indicator_output(const struct indicator_row *row, unsigned o, size_t *len)
{
    bool behind;
    const char *name = output_at(row, o, len, &behind);
    if (name && *len == 5 && !memcmp(name, "value", 5)) {
        *len = 0;
        return "";
    }
    return name;
}

bool indicator_is_price(const struct indicator *x)
{
    const struct indicator_row *row = &indicator_rows[x->kind];
    bool behind;
    size_t len;
    return row->unit == INDICATOR_PRICE && output_at(row, x->output, &len, &behind) && !behind;
}

enum indicator_moves indicator_moves(const struct indicator *x)
{
    const char *reads = indicator_rows[x->kind].reads;
    return strchr(reads, 'v') ? MOVES_VOLUME : strpbrk(reads, "hl") ? MOVES_PRICE : MOVES_CLOSE;
}

/* Where parameter i of a row is kept: periods in n from the first on, the first multiplier in hundredths, a
 * second one behind the periods. */
static uint16_t *parameter(const struct indicator_row *row, struct indicator *x, unsigned i)
{
    unsigned periods = 0, multipliers = 0;
    for (unsigned j = 0; j < i; j++)
        row->form[j] == 'n' ? periods++ : multipliers++;
    if (row->form[i] == 'm' && multipliers == 0)
        return &x->hundredths;
    return &x->n[row->form[i] == 'n' ? periods : periods + multipliers - 1];
}

/* A decimal number with up to two decimals, in hundredths; -1 if it is none or is over 6 digits. */
static int hundredths_of(const char *text, size_t len)
{
    int v = 0, places = -1;
    if (len == 0 || len > 6 || text[len - 1] == '.')
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' && places < 0) {
            places = 0;
        } else if (text[i] >= '0' && text[i] <= '9' && places < 2) {
            v = v * 10 + (text[i] - '0');
            places += places >= 0;
        } else {
            return -1;
        }
    }
    for (int i = places < 0 ? 0 : places; i < 2; i++)
        v *= 10;
    return v;
}

static int take_parameter(const struct indicator_row *row, struct indicator *x, unsigned i, const char *text,
                          size_t len, struct error *err)
{
    int v = hundredths_of(text, len);
    if (row->form[i] == 'm') {
        if (v < 1 || v > INDICATOR_HUNDREDTHS_MAX)
            return error_set(err, "indicator '%s': parameter %u is '%.*s', expected 0.01 to %d in hundredths",
                             row->name, i + 1, (int)len, text, INDICATOR_HUNDREDTHS_MAX / 100);
        *parameter(row, x, i) = (uint16_t)v;
        return 0;
    }
    if (v % 100 || memchr(text, '.', len) || v < row->least * 100 || v > INDICATOR_PERIOD_MAX * 100)
        return error_set(err,
                         "indicator '%s': parameter %u is '%.*s', expected a whole number of bars, %d to %d",
                         row->name, i + 1, (int)len, text, row->least, INDICATOR_PERIOD_MAX);
    *parameter(row, x, i) = (uint16_t)(v / 100);
    return 0;
}

/* What may be given, for messages: "macd(n,n,n)[.signal|.hist]". */
static void form_of(const struct indicator_row *row, char *out, size_t room)
{
    size_t at = (size_t)snprintf(out, room, "%s", row->name), len;
    for (unsigned i = 0; row->form[i]; i++)
        at += (size_t)snprintf(out + at, room - at, "%c%c", i ? ',' : '(', row->form[i]);
    if (*row->form)
        at += (size_t)snprintf(out + at, room - at, ")");
    const char *name;
    for (unsigned o = 0; (name = indicator_output(row, o, &len)); o++)
        if (len)
            at += (size_t)snprintf(out + at, room - at, "%s.%.*s", o > 1 || !row->outputs[0] ? " or " : " ",
                                   (int)len, name);
}

static int bad_form(const struct indicator_row *row, const char *text, size_t len, struct error *err)
{
    char form[160];
    form_of(row, form, sizeof form);
    return error_set(err, "indicator '%.*s': expected %s", (int)smaller(len, 100), text, form);
}

/* The row of the longest name that text begins with and that ends there, or NULL. */
static const struct indicator_row *row_of(const char *text, size_t len)
{
    const struct indicator_row *found = NULL;
    for (unsigned k = 0; k < INDICATOR_KIND_COUNT; k++) {
        const struct indicator_row *row = &indicator_rows[k];
        size_t n = strlen(row->name);
        if (n <= len && !memcmp(text, row->name, n) && (n == len || strchr("(_.", text[n])) &&
            (!found || n > strlen(found->name)))
            found = row;
    }
    return found;
}

/* "(12,26,9)" or "_12_26_9" from *at on, as many as there are; *at is behind them. The number of parameters,
 * or -1. */
static int take_parameters(const struct indicator_row *row, struct indicator *x, const char *text, size_t len,
                           size_t *at, struct error *err)
{
    bool call = text[*at] == '(';
    unsigned count = (unsigned)strlen(row->form), given = 0;
    size_t p = *at + 1, end;
    if (call && p < len && text[p] == ')')
        return bad_form(row, text, len, err);
    while (call ? p <= len : p < len && text[p] >= '0' && text[p] <= '9') {
        for (end = p; end < len && !strchr(call ? ",)" : "_", text[end]); end++)
            if (!call && text[end] == '.' && (end + 1 == len || text[end + 1] < '0' || text[end + 1] > '9'))
                break; /* the '.' of an output */
        if (given == count || (call && end == len))
            return bad_form(row, text, len, err);
        if (take_parameter(row, x, given++, text + p, end - p, err))
            return -1;
        *at = end;
        p = end + 1;
        if (call && text[end] == ')') {
            *at = end + 1;
            break;
        }
        if (!call && (end == len || text[end] == '.'))
            break;
    }
    return (int)given;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

size_t indicator_close_up(const char *text, size_t len, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n < room; i++) {
        size_t behind = i; /* the next that is no blank */
        while (behind < len && is_blank(text[behind]))
            behind++;
        bool beside = (n && strchr("(,", out[n - 1])) || (behind < len && strchr(",)", text[behind]));
        if (behind > i && beside)
            i = behind;
        if (i < len)
            out[n++] = text[i];
    }
    if (n < room)
        out[n] = 0;
    return n;
}

int indicator_parse(const char *text, size_t len, struct indicator *x, struct error *err)
{
    const struct indicator_row *row = row_of(text, len);
    if (!row)
        return 1;
    size_t at = strlen(row->name), n;
    unsigned count = (unsigned)strlen(row->form);
    int given = 0;
    *x = (struct indicator){.kind = (uint8_t)(row - indicator_rows)};
    for (unsigned i = 0; i < count; i++)
        *parameter(row, x, i) = row->standard[i];
    if (at < len && text[at] != '.') {
        given = take_parameters(row, x, text, len, &at, err);
        if (given < 0)
            return -1;
    }
    if (count && given == 0 && row->standard[0] == 0)
        return bad_form(row, text, len, err);
    if (at == len)
        return 0;
    const char *name;
    for (unsigned o = 0; text[at] != '(' && (name = indicator_output(row, o, &n)); o++)
        if (n && n == len - at - 1 && !memcmp(name, text + at + 1, n)) {
            x->output = (uint8_t)o;
            return 0;
        }
    return bad_form(row, text, len, err);
}

void indicator_name(const struct indicator *x, char out[INDICATOR_NAME_MAX])
{
    const struct indicator_row *row = &indicator_rows[x->kind];
    struct indicator copy = *x;
    size_t room = INDICATOR_NAME_MAX, at = (size_t)snprintf(out, room, "%s", row->name), len;
    for (unsigned i = 0; row->form[i]; i++) {
        unsigned v = *parameter(row, &copy, i);
        char mark = i ? ',' : '(';
        if (row->form[i] == 'n' || v % 100 == 0)
            at += (size_t)snprintf(out + at, room - at, "%c%u", mark, row->form[i] == 'n' ? v : v / 100);
        else if (v % 10 == 0)
            at += (size_t)snprintf(out + at, room - at, "%c%u.%u", mark, v / 100, v % 100 / 10);
        else
            at += (size_t)snprintf(out + at, room - at, "%c%u.%02u", mark, v / 100, v % 100);
    }
    if (*row->form)
        at += (size_t)snprintf(out + at, room - at, ")");
    const char *name = indicator_output(row, x->output, &len);
    if (name && len)
        snprintf(out + at, room - at, ".%.*s", (int)len, name);
}

unsigned indicator_warmup(const struct indicator *x)
{
    const uint16_t *n = x->n;
    unsigned o = x->output;
    switch ((enum indicator_kind)x->kind) {
#define X(kind, name, form, d0, d1, d2, least, outputs, unit, reads, warmup, calc, help)                     \
    case INDICATOR_##kind:                                                                                   \
        return (unsigned)(warmup);
        INDICATORS(X)
#undef X
    case INDICATOR_KIND_COUNT:
        break;
    }
    (void)o;
    return 0;
}
