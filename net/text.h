/* A text that grows: bodies of HTTP replies, metrics, JSON. Out of memory is remembered, not reported at each
 * append: check `failed` once at the end. */
#ifndef NET_TEXT_H
#define NET_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data; /* NUL-terminated once something was appended; NULL before */
    size_t len, room;
    bool failed;
};

void text_append(struct text *t, const char *data, size_t len);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends `s` as a JSON string in quotes. Bytes that are no UTF-8 become U+FFFD. */
void text_json(struct text *t, const char *s);

/* Empties it and keeps the memory. */
void text_clear(struct text *t);
void text_free(struct text *t);

#endif
