#include "net/csv.h"

static void end_field(struct csv_row *row, size_t at)
{
    if (++row->fields <= CSV_FIELDS_MAX)
        row->mark[row->fields] = (uint32_t)at;
}

/* Each field moves to the front of its place, so that one separator stands between two fields again. */
static bool take_quoted(char *text, const char *stop, struct csv_row *row)
{
    const char *p = text;
    char *to = text;
    for (;;) {
        if (p < stop && *p == '"') {
            for (p++;; p++) {
                if (p == stop)
                    return false; /* no closing quote */
                if (*p == '"' && (++p == stop || *p != '"'))
                    break;
                *to++ = *p;
            }
        } else {
            while (p < stop && *p != ',')
                *to++ = *p++;
        }
        if (p < stop && *p != ',')
            return false; /* text behind a closing quote */
        end_field(row, (size_t)(to - text));
        if (p++ == stop)
            return true;
        *to++ = ',';
    }
}

bool csv_take_any(char *text, struct csv_row *row)
{
    const char *stop = rawmemchr(text, '\n');
    row->text = text;
    row->length = (uint32_t)(stop - text) + 1;
    row->fields = 0;
    row->mark[0] = UINT32_MAX;
    if (stop > text && stop[-1] == '\r')
        stop--;
    size_t len = (size_t)(stop - text);
    if (memchr(text, '"', len))
        return take_quoted(text, stop, row);
    for (size_t at = 0; at < len; at += 64) {
        uint64_t ends = csv_mask(text + at, ',');
        if (len - at < 64)
            ends &= (UINT64_C(1) << (len - at)) - 1;
        for (; ends; ends &= ends - 1)
            end_field(row, at + (size_t)__builtin_ctzll(ends));
    }
    end_field(row, len);
    return true;
}

void csv_write(FILE *out, const char *field)
{
    if (!strpbrk(field, ",\"\r\n")) {
        fputs(field, out);
        return;
    }
    fputc('"', out);
    for (; *field; field++) {
        if (*field == '"')
            fputc('"', out);
        fputc(*field, out);
    }
    fputc('"', out);
}
