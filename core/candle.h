/* Candles: what the last bars of a series show, and the names of such metrics. The rows of CANDLE_METRICS in
 * core/metric.h define each. Pure. */
#ifndef CORE_CANDLE_H
#define CORE_CANDLE_H

#include "core/metric.h"

/* Of a metric that ended bars alone decide, without state: 1 or 0, of CONSECUTIVE and VOLUME_SPIKE a number;
 * NaN where there are not enough bars. */
double candle_value(const struct metric *m, const struct bar_series *b);

/* The EMA_… metrics, which have state: candle_words words, zeros before the first bar. candle_push takes bar
 * b->end - 1 as indicator_push does. */
unsigned candle_words(const struct metric *m);
void candle_push(const struct metric *m, int64_t *w, const struct bar_series *b, unsigned scale);
double candle_pushed(const struct metric *m, const int64_t *w);

/* Parses text[0..len), a canonical name or an alias. 0; 1 if no candle is named so; -1 with err. */
int candle_parse(const char *text, size_t len, struct metric *m, struct error *err);
/* The canonical name of a metric of FORM_BARS, FORM_AVERAGE or FORM_PERCENT. */
void candle_name(const struct metric *m, char out[METRIC_NAME_MAX]);

#endif
