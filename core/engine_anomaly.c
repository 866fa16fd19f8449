/* The detectors of anomalies at work: windows per symbol, looked at by each trade and quote, at each minute's
 * end and clock. Nothing of it runs, or is touched, unless anomalies.enabled. */
#include "core/metric_value.h"

/* A tenth of the middle: what is usual is not known better. */
enum { FLOOR_PARTS = 10 };

/* ---- settings */

static void watch_switch(struct engine *e, bool on)
{
    if (on == (e->watched != 0))
        return;
    e->watched = on ? WATCHED : 0;
    if (on)
        memset(e->windows, 0, e->n_symbols * sizeof *e->windows);
}

bool watch_setting(struct engine *e, const char *text)
{
    static const char key[] = "anomalies.enabled=";
    bool on = !strcmp(text + strnlen(text, sizeof key - 1), "true");
    if (strncmp(text, key, sizeof key - 1))
        return anomaly_setting(&e->watching, text);
    if (!on && strcmp(text + sizeof key - 1, "false"))
        return false;
    watch_switch(e, on);
    return true;
}

/* ---- telling */

static void tell(struct engine *e, const struct symbol *s, enum anomaly_kind kind, const struct anomaly *a)
{
    struct watch *w = watch_of(e, s);
    int64_t cool_ns = kind == ANOMALY_SUSPECT ? 0 : (int64_t)e->watching.cooldown_s * SECOND_NS;
    if (w->last_ns[kind] != INT64_MIN && s->time_ns - w->last_ns[kind] < cool_ns)
        return;
    w->k[kind] = w->last_ns[kind] == s->time_ns ? w->k[kind] + 1 : 0;
    w->last_ns[kind] = s->time_ns;
    emit_anomaly(e, s, kind, w->k[kind], a);
}

static int64_t tick_of(const struct symbol *s)
{
    return anomaly_tick(s->tick_e9, s->price_e9 == KEY_UNKNOWN ? 0 : s->price_e9);
}

/* ---- trading days */

static const struct trading_day *day_find(const struct engine *e, const struct symbol *s, int64_t start_ns)
{
    const struct calendar *c = &e->calendar[s->calendar];
    for (uint32_t i = 0; i < c->n; i++)
        if (c->day[i].t[0] == start_ns)
            return &c->day[i];
    return NULL;
}

static uint16_t minutes_between(int64_t from_ns, int64_t to_ns)
{
    int64_t n = (to_ns - from_ns) / MINUTE_NS;
    return (uint16_t)(n < ANOMALY_DAY_MINUTES ? n : ANOMALY_DAY_MINUTES);
}

/* The trading day that ends gives its volumes: 0 in minutes without a bar, none in those of which nothing is
 * kept or known. */
static void day_push(struct engine *e, struct symbol *s, struct watch *w)
{
    const struct trading_day *day = day_find(e, s, w->day_ns);
    uint64_t oldest = s->bars_base, i = s->bars_end;
    while (i > oldest && (int64_t)bar_at(e, s, i - 1)->minute * MINUTE_NS >= s->day_start_ns)
        i--;
    uint64_t end = i;
    while (i > oldest && (int64_t)bar_at(e, s, i - 1)->minute * MINUTE_NS >= w->day_ns)
        i--;
    if (!day || w->day_ns < 0 || i == end)
        return;
    struct anomaly_day *row = watch_day(e, s, w->days++);
    *row = (struct anomaly_day){.market = minutes_between(day->t[0], day->t[1]),
                                .postmarket = minutes_between(day->t[0], day->t[2]),
                                .closed = minutes_between(day->t[0], day->t[3])};
    for (uint32_t m = 0; m < ANOMALY_DAY_MINUTES; m++) {
        bool before = i == oldest && day->t[0] + m * MINUTE_NS < (int64_t)bar_at(e, s, i)->minute * MINUTE_NS;
        row->volume[m] = before || m >= row->closed ? ANOMALY_NO_VOLUME : 0;
    }
    for (; i < end; i++) {
        int64_t m = bar_at(e, s, i)->minute - w->day_ns / MINUTE_NS;
        if (m < row->closed)
            row->volume[m] = (float)key_to_double(size_key(s, bar_at(e, s, i)->volume));
    }
}

static enum session_kind day_session(const struct anomaly_day *d, int64_t minute)
{
    return minute < d->market       ? SESSION_PREMARKET
           : minute < d->postmarket ? SESSION_MARKET
           : minute < d->closed     ? SESSION_POSTMARKET
                                    : SESSION_CLOSED;
}

/* The live minute's volume on the days before. */
static struct anomaly_norm volume_norm(const struct engine *e, const struct symbol *s, const struct watch *w)
{
    double v[ANOMALY_DAYS];
    unsigned n = 0;
    int64_t minute = s->day_start_ns < 0 ? -1 : (s->live_start_ns - s->day_start_ns) / MINUTE_NS;
    if (minute < 0 || minute >= ANOMALY_DAY_MINUTES)
        return (struct anomaly_norm){0};
    for (uint32_t i = 0; i < ANOMALY_DAYS && i < w->days; i++) {
        const struct anomaly_day *d = watch_day(e, s, w->days - 1 - i);
        if (d->volume[minute] >= 0 && day_session(d, minute) == (enum session_kind)s->session)
            v[n++] = (double)d->volume[minute];
    }
    if (n < ANOMALY_DAYS_MIN)
        return (struct anomaly_norm){0};
    struct anomaly_norm norm = anomaly_norm_of(v, n, 0);
    double floor = norm.middle / FLOOR_PARTS;
    norm.deviation = norm.deviation > floor ? norm.deviation : floor;
    norm.known = norm.middle > 0;
    return norm;
}

/* ---- minutes */

/* The last n bars, all of the session since session_ns? */
static bool bars_within(const struct engine *e, const struct symbol *s, int64_t session_ns, unsigned n)
{
    return s->bars_end - s->bars_base >= n &&
           (int64_t)bar_at(e, s, s->bars_end - n)->minute * MINUTE_NS >= session_ns;
}

/* What is usual for the live minute. */
static void minute_norms(struct engine *e, const struct symbol *s, struct watch *w)
{
    double range[ANOMALY_BARS], trades[ANOMALY_BARS];
    w->range_told = w->volume_told = w->burst_told = 0;
    w->range_norm = w->burst_norm = (struct anomaly_norm){0};
    w->volume_norm = volume_norm(e, s, w);
    if (!bars_within(e, s, w->session_ns, ANOMALY_BARS))
        return;
    for (unsigned i = 0; i < ANOMALY_BARS; i++) {
        const struct bar *b = bar_at(e, s, s->bars_end - 1 - i);
        range[i] = (double)(b->high_e9 - b->low_e9);
        trades[i] = b->trades;
    }
    w->range_norm = anomaly_norm_of(range, ANOMALY_BARS, (double)tick_of(s));
    w->burst_norm = anomaly_norm_of(trades, ANOMALY_BARS, 1);
    double floor = w->burst_norm.middle / FLOOR_PARTS;
    if (w->burst_norm.deviation < floor)
        w->burst_norm.deviation = floor;
}

static void session_begin(struct watch *w, const struct symbol *s)
{
    w->session_ns = s->session_start_ns;
    w->drift = (struct anomaly_drift){0, 0};
    w->spreads = 0;
    w->spread_norm.known = 0;
    w->wide = 0;
    w->silent_ns = NEVER_NS;
}

static void day_begin(struct watch *w, const struct symbol *s)
{
    w->day_ns = s->day_start_ns;
    w->prices.n = 0;
}

static void watch_begin(struct engine *e, struct symbol *s, struct watch *w)
{
    memset(w, 0, sizeof *w);
    for (unsigned i = 0; i < ANOMALY_KINDS; i++)
        w->last_ns[i] = INT64_MIN;
    w->begun = 1;
    day_begin(w, s);
    session_begin(w, s);
    minute_norms(e, s, w);
}

/* The bar that has just ended: the change to it after the 20 before. */
static void drift_step(struct engine *e, struct symbol *s, struct watch *w)
{
    double change[ANOMALY_BARS + 1];
    struct anomaly a;
    if (!bars_within(e, s, w->session_ns, ANOMALY_BARS + 2))
        return;
    for (unsigned i = 0; i <= ANOMALY_BARS; i++)
        change[i] = (double)(bar_at(e, s, s->bars_end - 1 - i)->close_e9 -
                             bar_at(e, s, s->bars_end - 2 - i)->close_e9);
    if (anomaly_drift_step(&w->drift, change + 1, change[0], (double)tick_of(s), e->watching.drift, &a))
        tell(e, s, ANOMALY_DRIFT, &a);
}

void watch_minute(struct engine *e, struct symbol *s, bool pushed)
{
    struct watch *w = watch_of(e, s);
    if (!w->begun) {
        watch_begin(e, s, w);
        return;
    }
    if (pushed)
        drift_step(e, s, w);
    if (w->day_ns != s->day_start_ns) {
        day_push(e, s, w);
        day_begin(w, s);
    }
    if (w->session_ns != s->session_start_ns)
        session_begin(w, s);
    minute_norms(e, s, w);
}

/* ---- ticks, clocks */

/* Once a minute. */
static void minute_check(struct engine *e, struct symbol *s, enum anomaly_kind kind,
                         const struct anomaly_norm *norm, uint8_t *told, double value, double threshold)
{
    struct anomaly a;
    if (*told || !anomaly_beyond(norm, value, threshold, &a))
        return;
    *told = 1;
    tell(e, s, kind, &a);
}

/* The price counts for those that follow, suspect or not. */
static void price_add(const struct engine *e, const struct symbol *s, struct watch *w)
{
    uint32_t at = w->prices.n % ANOMALY_TRADES;
    w->trade_ns[at] = s->time_ns;
    anomaly_prices_add(&w->prices, s->price_e9);
    w->silent_ns = NEVER_NS;
    if (w->prices.n < ANOMALY_TRADES || s->session != SESSION_MARKET || !(e->watching.silence_min > 0))
        return;
    int64_t first = w->trade_ns[w->prices.n % ANOMALY_TRADES];
    int64_t mean = (s->time_ns - first) / (ANOMALY_TRADES - 1), least = ANOMALY_SILENT_GAPS * mean;
    int64_t silence = (int64_t)e->watching.silence_min * MINUTE_NS;
    w->silent_ns = s->time_ns + (silence > least ? silence : least);
}

void watch_trade(struct engine *e, struct symbol *s, enum applied what)
{
    struct watch *w = watch_of(e, s);
    const struct anomaly_settings *set = &e->watching;
    struct anomaly a;
    if (!w->begun)
        watch_begin(e, s, w);
    if (what == APPLIED_LAST) {
        int64_t tick = tick_of(s);
        if (anomaly_suspect(&w->prices, s->price_e9, tick, set->suspect, &a))
            tell(e, s, ANOMALY_SUSPECT, &a);
        if (anomaly_zscore(&w->prices, s->price_e9, tick, set->zscore, &a))
            tell(e, s, a.score > 0 ? ANOMALY_SPIKE : ANOMALY_DROP, &a);
        price_add(e, s, w);
    }
    if (s->live_trades)
        minute_check(e, s, ANOMALY_VOLATILITY, &w->range_norm, &w->range_told,
                     (double)(s->high_e9 - s->low_e9), set->volatility);
    minute_check(e, s, ANOMALY_VOLUME, &w->volume_norm, &w->volume_told,
                 key_to_double(size_key(s, s->live_volume)), set->volume);
    minute_check(e, s, ANOMALY_BURST, &w->burst_norm, &w->burst_told, s->live_trades, set->burst);
}

static void spread_add(const struct symbol *s, struct watch *w, double spread)
{
    double v[ANOMALY_QUOTES];
    if (w->spreads && s->time_ns - w->spread_ns < SECOND_NS)
        return;
    w->spread_ns = s->time_ns;
    w->spread[w->spreads % ANOMALY_QUOTES] = spread;
    w->spreads = w->spreads == UINT32_MAX ? UINT32_MAX % ANOMALY_QUOTES + 1 + ANOMALY_QUOTES : w->spreads + 1;
    if (w->spreads < ANOMALY_QUOTES)
        return;
    memcpy(v, w->spread, sizeof v);
    w->spread_norm = anomaly_norm_of(v, ANOMALY_QUOTES, (double)anomaly_tick(s->tick_e9, s->ask_e9));
}

void watch_quote(struct engine *e, struct symbol *s)
{
    struct watch *w = watch_of(e, s);
    const struct anomaly_settings *set = &e->watching;
    struct anomaly a;
    if (!w->begun)
        watch_begin(e, s, w);
    bool both = s->bid_e9 > 0 && s->ask_e9 > 0;
    double spread = (double)(s->ask_e9 - s->bid_e9);
    double ticks = -spread / (double)anomaly_tick(s->tick_e9, s->ask_e9);
    bool crossed = both && spread < 0 && set->crossed > 0 && ticks >= set->crossed;
    if (crossed && !w->is_crossed) {
        a = (struct anomaly){spread, 0, ticks, set->crossed};
        tell(e, s, ANOMALY_CROSSED, &a);
    }
    w->is_crossed = crossed;
    if (!both || spread < 0)
        return;
    bool wide = anomaly_beyond(&w->spread_norm, spread, set->spread, &a);
    if (wide && !w->wide)
        tell(e, s, ANOMALY_SPREAD, &a);
    w->wide = wide;
    spread_add(s, w, spread);
}

/* silent_ns is never before the end of the minute of the last trade, so the bucket looks at the symbol. */
void watch_clock(struct engine *e, struct symbol *s)
{
    struct watch *w = watch_of(e, s);
    if (s->time_ns < watch_silent_ns(e, s))
        return;
    uint32_t n = w->prices.n;
    double last = (double)w->trade_ns[(n - 1) % ANOMALY_TRADES], minute = (double)MINUTE_NS,
           first = (double)w->trade_ns[n % ANOMALY_TRADES];
    double silent = ((double)s->time_ns - last) / minute;
    struct anomaly a = {silent, (last - first) / (ANOMALY_TRADES - 1) / minute, silent,
                        ((double)w->silent_ns - last) / minute};
    w->silent_ns = NEVER_NS;
    tell(e, s, ANOMALY_SILENCE, &a);
}
