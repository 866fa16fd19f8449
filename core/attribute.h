/* Attributes: what a file says of a symbol beside its ticks. An ATTR message of the kind FACTS brings all of
 * a symbol's at once, which replace those before.
 *
 * Behind its first slot are ATTRIBUTE_COUNT values of 64 bits in the order of the table (NUMBER: the bits of
 * a double, TEXT: how many bytes it has, TIME: UTC ns; ATTR_UNKNOWN where nothing is known), then the bytes
 * of the texts, one behind the other.
 *
 * In the engine a text stands for a number, which two texts share iff they are the same: 62 bits of its
 * xxh3_64. It is the text's own, whoever comes first, a rule or a symbol, so neither has to know the other,
 * and an ingest that starts again has nothing to remember. Two of a million different texts share one with a
 * chance of 1e-7. What an engine emits has the text itself.
 */
#ifndef CORE_ATTRIBUTE_H
#define CORE_ATTRIBUTE_H

#include "core/metric.h"

/* enum suffix, column of the file, kind. Texts come first. */
#define ATTRIBUTES(X)                                                                                        \
    X(SECTOR, "sector", TEXT)                                                                                \
    X(EXCHANGE, "exchange", TEXT)                                                                            \
    X(FLOAT, "float", NUMBER)                                                                                \
    X(MARKET_CAP, "market_cap", NUMBER)                                                                      \
    X(SHARES_SHORT, "shares_short", NUMBER)                                                                  \
    X(NEWS_AT, "news_at", TIME)                                                                              \
    X(EARNINGS_AT, "earnings_at", TIME)

#define X(name, column, kind) ATTRIBUTE_##name,
enum attribute { ATTRIBUTES(X) ATTRIBUTE_COUNT };
#undef X

enum attribute_kind { ATTRIBUTE_NUMBER, ATTRIBUTE_TIME, ATTRIBUTE_TEXT };

struct attribute_row {
    const char *column;
    enum attribute_kind kind;
};
extern const struct attribute_row attribute_rows[ATTRIBUTE_COUNT];

enum { ATTRIBUTE_TEXTS = ATTRIBUTE_FLOAT, ATTRIBUTE_TEXT_MAX = 63 };
#define ATTR_UNKNOWN KEY_UNKNOWN

/* Of a symbol. */
struct attributes {
    int64_t value[ATTRIBUTE_COUNT]; /* NUMBER, TEXT: as keys of metrics; TIME: UTC ns; else KEY_UNKNOWN */
    char text[ATTRIBUTE_TEXTS][ATTRIBUTE_TEXT_MAX + 1]; /* zeros behind it; empty: unknown */
};

/* Nothing is known. */
void attributes_clear(struct attributes *a);
bool attributes_known(const struct attributes *a);

/* The number that stands for a text of 1 to ATTRIBUTE_TEXT_MAX bytes: from 0, below 2^62. */
int64_t attribute_text_key(const char *text, size_t len);
/* Sets a text: false if it is empty or too long, or has a byte that no rule can name: '"', a control
 * character. */
bool attribute_set_text(struct attributes *a, enum attribute which, const char *text, size_t len);

/* The ATTR message of a symbol. Returns its slots, at most MSG_SLOTS_MAX. */
uint32_t attributes_message(const struct attributes *a, uint32_t symbol, struct msg *out);
/* False if the message, which may say anything, is no such one. */
bool attributes_read(const struct msg *m, struct attributes *a);
/* Whether what a checkpoint has is what a message could have brought. */
bool attributes_sound(const struct attributes *a);

/* Minutes since the news, unknown before it; days until the earnings, unknown after them. Keys. */
static inline int64_t attribute_news_age(const struct attributes *a, int64_t now_ns)
{
    int64_t at = a->value[ATTRIBUTE_NEWS_AT];
    return at == KEY_UNKNOWN || now_ns < at ? KEY_UNKNOWN : key_of_double((double)(now_ns - at) / 6e10);
}

static inline int64_t attribute_earnings_in(const struct attributes *a, int64_t now_ns)
{
    int64_t at = a->value[ATTRIBUTE_EARNINGS_AT];
    return at == KEY_UNKNOWN || now_ns > at ? KEY_UNKNOWN : key_of_double((double)(at - now_ns) / 8.64e13);
}

#endif
