/* What the engine emits: bars, alerts, anomalies. */
#include "core/metric_value.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Room for the next event, its place in the order given. engine_apply has seen to it that there is enough. */
static struct msg *event_begin(struct engine *e, enum msg_type type, const struct symbol *s, size_t bytes,
                               uint32_t *sub)
{
    assert(e->out->used + MSG_SLOTS_MAX <= e->out->capacity);
    struct msg *m = &e->out->slot[e->out->used];
    uint32_t n = msg_begin(m, type, s->id, bytes);
    assert(n);
    msg_set_seq(m, e->seq);
    e->out->used += n;
    if (e->sub_seq != e->seq || e->sub_symbol != s->id) {
        e->sub_seq = e->seq;
        e->sub_symbol = s->id;
        e->sub = 0;
    }
    *sub = e->sub++;
    return m;
}

void emit_bar(struct engine *e, const struct symbol *s, const struct bar *b)
{
    struct msg_bar p = {.open_e9 = b->open_e9,
                        .high_e9 = b->high_e9,
                        .low_e9 = b->low_e9,
                        .close_e9 = b->close_e9,
                        .volume = b->volume,
                        .pv_lo = (uint64_t)b->pv,
                        .pv_hi = (int64_t)(b->pv >> 64),
                        .trades = b->trades,
                        .revision = b->revision,
                        .length_s = 60};
    struct msg *m = event_begin(e, MSG_BAR, s, sizeof p, &p.sub);
    m->event_ns = (int64_t)b->minute * MINUTE_NS;
    msg_put(m, 0, &p, sizeof p);
    if (b->revision)
        e->count.revisions++;
    else
        e->count.bars++;
}

/* symbol, 0, symbol's time (i64), k (u32); little-endian. Returns what follows. */
static uint8_t *put_moment(uint8_t *p, const struct engine *e, const struct symbol *s, uint32_t k)
{
    const char *name = e->name[place_of(e, s)];
    size_t n = strlen(name) + 1;
    memcpy(p, name, n);
    p += n;
    memcpy(p, &s->time_ns, 8);
    memcpy(p + 8, &k, 4);
    return p + 12;
}

/* Alert id = xxh3_128 of: rule id, 0, version (u32), the moment. */
static XXH128_hash_t alert_id(const struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                              uint32_t k)
{
    uint8_t text[RULE_ID_MAX + 64 + 24], *p = text;
    memcpy(p, r->id, r->id_len);
    p += r->id_len;
    *p++ = 0;
    memcpy(p, &r->version, 4);
    p = put_moment(p + 4, e, s, k);
    return XXH3_128bits(text, (size_t)(p - text));
}

static const char *text_of(const struct engine *e, const struct symbol *s, unsigned kind)
{
    return attributes_of(e, s)->text[kind == METRIC_SECTOR ? ATTRIBUTE_SECTOR : ATTRIBUTE_EXCHANGE];
}

/* Keys are what the engine compares; an alert has values. */
static size_t put_values(const struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                         const int64_t *key, int64_t *value, char *texts)
{
    size_t text_bytes = 0;
    for (unsigned i = 0; i < r->n_operands; i++) {
        const struct metric *m = &e->node[r->operand[i]].metric;
        enum metric_unit unit = metric_unit(m);
        value[i] = key[i];
        if (key[i] != KEY_UNKNOWN && unit == UNIT_TEXT) {
            const char *text = text_of(e, s, m->kind);
            value[i] = (int64_t)strlen(text);
            memcpy(texts + text_bytes, text, (size_t)value[i]);
            text_bytes += (size_t)value[i];
        } else if (key[i] != KEY_UNKNOWN && unit != UNIT_PRICE) {
            double d = key_to_double(key[i]);
            memcpy(&value[i], &d, sizeof d);
        }
    }
    return text_bytes;
}

static void emit_alert(struct engine *e, const struct symbol *s, const struct kept_alert *a,
                       const int64_t *key, enum alert_kind kind)
{
    const struct loaded_rule *r = &e->rule[a->rule];
    int64_t value[ALERT_OPERANDS_MAX];
    char texts[ATTRIBUTE_TEXTS * ATTRIBUTE_TEXT_MAX]; /* a rule names each metric once */
    size_t text_bytes = put_values(e, s, r, key, value, texts), bytes = 8 * (size_t)r->n_operands;
    XXH128_hash_t id = alert_id(e, s, r, a->k);
    struct msg_alert head = {.rule = a->rule,
                             .id_hi = id.high64,
                             .id_lo = id.low64,
                             .k = a->k,
                             .revision = a->revision,
                             .kind = (uint8_t)kind,
                             .n_operands = r->n_operands,
                             .price_e9 = s->price_e9};
    struct msg *m = event_begin(e, MSG_ALERT, s, sizeof head + bytes + text_bytes, &head.sub);
    m->event_ns = s->time_ns;
    msg_put(m, 0, &head, sizeof head);
    msg_put(m, sizeof head, value, bytes);
    msg_put(m, sizeof head + bytes, texts, text_bytes);
}

/* m: the moment that it belongs to, NULL if it is not kept. */
static void emit_fire(struct engine *e, const struct symbol *s, const struct fired *f, struct moment *m)
{
    const struct loaded_rule *r = &e->rule[f->rule];
    int64_t key[ALERT_OPERANDS_MAX];
    uint64_t clue[CLUES_MAX];
    struct kept_alert a = {.price_e9 = s->price_e9, .rule = f->rule, .k = f->k, .n_operands = r->n_operands};
    e->stats[f->rule].fired++;
    if (r->shadow)
        return;
    for (unsigned i = 0; i < r->n_operands; i++)
        key[i] = node_key(e, s, r->operand[i]);
    emit_alert(e, s, &a, key, ALERT_FIRED);
    e->count.alerts++;
    if (!m)
        return;
    if (unlikely(r->events || r->n_spans))
        a.n_clues = alert_clues(e, s, r, m->at_close, clue);
    moment_add(e, m, &a, key, clue);
}

void emit_revised(struct engine *e, const struct symbol *s, const struct kept_alert *a, const int64_t *key)
{
    emit_alert(e, s, a, key, a->withdrawn ? ALERT_WITHDRAWN : ALERT_REVISED);
    e->count.alerts_withdrawn += a->withdrawn;
    e->count.alerts_revised += !a->withdrawn;
    e->stats[a->rule].withdrawn += a->withdrawn;
    e->stats[a->rule].revised += !a->withdrawn;
}

void emit_fired(struct engine *e, struct symbol *s, bool at_close)
{
    struct moment m, *deciding = unlikely(moment_begin(e, s, at_close, &m)) ? &m : NULL;
    struct fired *f = e->fired;
    uint32_t n = e->n_fired;
    for (uint32_t gap = n / 2; gap; gap /= 2)
        for (uint32_t i = gap; i < n; i++) {
            struct fired x = f[i];
            uint32_t j = i;
            for (; j >= gap && f[j - gap].rule > x.rule; j -= gap)
                f[j] = f[j - gap];
            f[j] = x;
        }
    for (uint32_t i = 0; i < n; i++)
        emit_fire(e, s, &f[i], deciding);
    if (deciding)
        moment_end(e, s, deciding);
    e->n_fired = 0;
}

void emit_anomaly(struct engine *e, const struct symbol *s, enum anomaly_kind kind, uint32_t k,
                  const struct anomaly *a)
{
    uint8_t text[ANOMALY_TEXT_MAX + 64 + 12];
    size_t n = strlen(anomaly_rows[kind].type) + 1;
    memcpy(text, anomaly_rows[kind].type, n);
    XXH128_hash_t id = XXH3_128bits(text, (size_t)(put_moment(text + n, e, s, k) - text));
    struct msg_anomaly p = {.kind = (uint8_t)kind,
                            .severity = (uint8_t)anomaly_severity(a),
                            .price_e9 = s->price_e9,
                            .value = a->value,
                            .expected = a->expected,
                            .score = a->score,
                            .threshold = a->threshold,
                            .id_hi = id.high64,
                            .id_lo = id.low64};
    struct msg *m = event_begin(e, MSG_ANOMALY, s, sizeof p, &p.sub);
    m->event_ns = s->time_ns;
    msg_put(m, 0, &p, sizeof p);
    e->count.anomalies++;
}
