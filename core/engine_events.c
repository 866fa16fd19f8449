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

void emit_bar(struct engine *e, const struct symbol *s, struct whole_bar b)
{
    struct msg_bar p = {.open_e9 = b.bar.open_e9,
                        .high_e9 = b.bar.high_e9,
                        .low_e9 = b.bar.low_e9,
                        .close_e9 = b.bar.close_e9,
                        .volume = b.bar.volume,
                        .pv_lo = b.pv_low,
                        .pv_hi = b.rest.pv_high,
                        .trades = b.bar.trades,
                        .revision = b.rest.revision,
                        .length_s = 60};
    struct msg *m = event_begin(e, MSG_BAR, s, sizeof p, &p.sub);
    m->event_ns = (int64_t)b.bar.minute * MINUTE_NS;
    msg_put(m, 0, &p, sizeof p);
    if (b.rest.revision)
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

static void emit_alert(struct engine *e, const struct symbol *s, const struct fired *f)
{
    const struct loaded_rule *r = &e->rule[f->rule];
    int64_t value[ALERT_OPERANDS_MAX];
    char texts[ATTRIBUTE_TEXTS * ATTRIBUTE_TEXT_MAX]; /* a rule names each metric once */
    size_t text_bytes = 0;
    e->stats[f->rule].fired++;
    if (r->shadow)
        return;
    XXH128_hash_t id = alert_id(e, s, r, f->k);
    struct msg_alert head = {.rule = f->rule,
                             .id_hi = id.high64,
                             .id_lo = id.low64,
                             .k = f->k,
                             .kind = ALERT_FIRED,
                             .n_operands = r->n_operands,
                             .price_e9 = s->price_e9};
    for (unsigned i = 0; i < r->n_operands; i++) {
        uint32_t node = r->operand[i];
        int64_t key = node_key(e, s, node);
        enum metric_unit unit = metric_unit(&e->node[node].metric);
        value[i] = key;
        if (key != KEY_UNKNOWN && unit == UNIT_TEXT) {
            const char *text = text_of(e, s, e->node[node].metric.kind);
            value[i] = (int64_t)strlen(text);
            memcpy(texts + text_bytes, text, (size_t)value[i]);
            text_bytes += (size_t)value[i];
        } else if (key != KEY_UNKNOWN && unit != UNIT_PRICE) {
            double d = key_to_double(key);
            memcpy(&value[i], &d, sizeof d);
        }
    }
    size_t bytes = 8 * (size_t)r->n_operands;
    struct msg *m = event_begin(e, MSG_ALERT, s, sizeof head + bytes + text_bytes, &head.sub);
    m->event_ns = s->time_ns;
    msg_put(m, 0, &head, sizeof head);
    msg_put(m, sizeof head, value, bytes);
    msg_put(m, sizeof head + bytes, texts, text_bytes);
    e->count.alerts++;
}

void emit_fired(struct engine *e, const struct symbol *s)
{
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
        emit_alert(e, s, &f[i]);
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
