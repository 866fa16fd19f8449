#include "net/prometheus.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_name(const char *name)
{
    assert(isalpha((unsigned char)*name) || *name == '_');
    for (; *name; name++)
        assert(isascii((unsigned char)*name) && (isalnum((unsigned char)*name) || *name == '_'));
}

/* Backslash and newline are escaped everywhere, quotes in label values only. */
static void append_escaped(struct text *out, const char *s, bool quotes)
{
    for (; *s; s++) {
        if (*s == '\n')
            text_append(out, "\\n", 2);
        else if (*s == '\\' || (quotes && *s == '"'))
            text_printf(out, "\\%c", *s);
        else
            text_append(out, s, 1);
    }
}

void prometheus_metric(struct text *out, const char *name, enum prometheus_type type, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    check_name(name);
    text_printf(out, "# HELP ringtape_%s ", name);
    append_escaped(out, help, false);
    text_printf(out, "\n# TYPE ringtape_%s %s\n", name, types[type]);
}

static void append_label(struct text *out, bool first, const char *name, const char *value)
{
    check_name(name);
    text_printf(out, "%s%s=\"", first ? "{" : ",", name);
    append_escaped(out, value, true);
    text_append(out, "\"", 1);
}

/* The sample up to its value; `le` is a histogram's bound or NULL. */
static void append_series(struct text *out, const char *name, const char *suffix, const char *const *labels,
                          const char *le)
{
    bool first = true;
    check_name(name);
    text_printf(out, "ringtape_%s%s", name, suffix);
    for (; labels && *labels; labels += 2, first = false)
        append_label(out, first, labels[0], labels[1]);
    if (le)
        append_label(out, first, "le", le);
    if (le || !first)
        text_append(out, "}", 1);
    text_append(out, " ", 1);
}

/* The shortest text that reads back as the same double. */
static void format_double(double v, char out[32])
{
    if (isnan(v)) {
        strcpy(out, "NaN");
    } else if (isinf(v)) {
        strcpy(out, v > 0 ? "+Inf" : "-Inf");
    } else {
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(out, 32, "%.*g", digits, v);
            if (strtod(out, NULL) == v)
                return;
        }
    }
}

void prometheus_u64(struct text *out, const char *name, uint64_t value, const char *const *labels)
{
    append_series(out, name, "", labels, NULL);
    text_printf(out, "%" PRIu64 "\n", value);
}

void prometheus_double(struct text *out, const char *name, double value, const char *const *labels)
{
    char text[32];
    format_double(value, text);
    append_series(out, name, "", labels, NULL);
    text_printf(out, "%s\n", text);
}

void prometheus_histogram(struct text *out, const char *name, const double *bounds, const uint64_t *counts,
                          size_t n, double sum, const char *const *labels)
{
    char text[32];
    uint64_t total = 0;
    for (size_t i = 0; i <= n; i++) {
        total += counts[i];
        format_double(i < n ? bounds[i] : INFINITY, text);
        append_series(out, name, "_bucket", labels, text);
        text_printf(out, "%" PRIu64 "\n", total);
    }
    format_double(sum, text);
    append_series(out, name, "_sum", labels, NULL);
    text_printf(out, "%s\n", text);
    append_series(out, name, "_count", labels, NULL);
    text_printf(out, "%" PRIu64 "\n", total);
}
