/* What the engine emits: bars, alerts, anomalies, halts. */
#include "core/metric_value.h"
#include "core/moment.h"

/* The place of the next event in the order of those of one message and symbol. */
static uint32_t next_sub(struct engine *e, const struct symbol *s)
{
    if (e->sub_seq != e->seq || e->sub_symbol != s->id) {
        e->sub_seq = e->seq;
        e->sub_symbol = s->id;
        e->sub = 0;
    }
    return e->sub++;
}

/* engine_apply has seen to it that there is enough room. */
static void event_put(struct engine *e, enum msg_type type, const struct symbol *s, int64_t event_ns,
                      const void *payload, size_t bytes)
{
    assert(e->out->used + MSG_SLOTS_MAX <= e->out->capacity);
    struct msg *m = &e->out->slot[e->out->used];
    uint32_t n = msg_write(m, type, s->id, payload, bytes);
    assert(n);
    m->event_ns = event_ns;
    msg_set_seq(m, e->seq);
    e->out->used += n;
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
                        .sub = next_sub(e, s),
                        .length_s = 60};
    event_put(e, MSG_BAR, s, (int64_t)b.bar.minute * MINUTE_NS, &p, sizeof p);
    if (b.rest.revision)
        e->count.revisions++;
    else
        e->count.bars++;
}

/* Alert id = xxh3_128 of: rule id, 0, version (u32), the moment. */
static XXH128_hash_t alert_id(const struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                              uint32_t k)
{
    uint8_t text[RULE_ID_MAX + 5 + MOMENT_MAX], *p = text;
    memcpy(p, r->id, r->id_len);
    p += r->id_len;
    *p++ = 0;
    memcpy(p, &r->version, 4);
    p = moment_put(p + 4, e->name[place_of(e, s)], s->time_ns, k);
    return XXH3_128bits(text, (size_t)(p - text));
}

static const char *text_of(const struct engine *e, const struct symbol *s, unsigned kind)
{
    return attributes_of(e, s)->text[kind == METRIC_SECTOR ? ATTRIBUTE_SECTOR : ATTRIBUTE_EXCHANGE];
}

int64_t alert_value(const struct engine *e, const struct symbol *s, uint32_t node)
{
    int64_t key = node_key(e, s, node);
    return key == KEY_UNKNOWN || metric_unit(&e->node[node].metric) == UNIT_PRICE
               ? key
               : as_bits(key_to_double(key));
}

/* Many alerts may show a value at one message: it is computed once. */
static int64_t shown_value(struct engine *e, const struct symbol *s, uint32_t node)
{
    struct shown *x = &e->shown[node];
    if (x->stamp == e->shown_stamp)
        return x->value;
    x->stamp = e->shown_stamp;
    x->value = alert_value(e, s, node);
    return x->value;
}

/* Puts the texts of an alert behind its operands, whose values are their lengths then. Returns the bytes. */
SELDOM static size_t put_texts(const struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                               int64_t *value)
{
    uint8_t *at = (uint8_t *)(value + r->n_operands), *p = at;
    for (unsigned i = 0; i < r->n_operands; i++) {
        const struct metric *m = &e->node[r->operand[i]].metric;
        if (value[i] == KEY_UNKNOWN || metric_unit(m) != UNIT_TEXT)
            continue;
        const char *text = text_of(e, s, m->kind);
        value[i] = (int64_t)strlen(text);
        memcpy(p, text, (size_t)value[i]);
        p += value[i];
    }
    return (size_t)(p - at);
}

struct alert {
    struct msg_alert head;
    int64_t value[ALERT_OPERANDS_MAX];
    char texts[ATTRIBUTE_TEXTS * ATTRIBUTE_TEXT_MAX]; /* a rule names each metric once */
};

static void put_alert(struct engine *e, const struct symbol *s, const struct loaded_rule *r, struct alert *p)
{
    size_t bytes = sizeof p->head + 8 * (size_t)r->n_operands;
    if (r->text_bytes)
        bytes += put_texts(e, s, r, p->value);
    event_put(e, MSG_ALERT, s, s->time_ns, p, bytes);
}

/* m: the moment that an alert belongs to. */
SELDOM static void keep_alert(struct engine *e, const struct symbol *s, const struct alert *p,
                              struct moment *m)
{
    const struct loaded_rule *r = &e->rule[p->head.rule];
    uint64_t clue[CLUES_MAX];
    struct kept_alert a = {
        .price_e9 = p->head.price_e9, .rule = p->head.rule, .k = p->head.k, .n_operands = p->head.n_operands};
    if (r->events || r->n_spans)
        a.n_clues = alert_clues(e, s, r, m->at_close, clue);
    moment_add(e, m, &a, p->value, clue);
}

/* Of a symbol's alert k at its time, revised or not. */
static void alert_head(struct engine *e, const struct symbol *s, uint32_t rule, uint32_t k,
                       struct msg_alert *head)
{
    const struct loaded_rule *r = &e->rule[rule];
    XXH128_hash_t id = alert_id(e, s, r, k);
    *head = (struct msg_alert){.rule = rule,
                               .sub = next_sub(e, s),
                               .id_hi = id.high64,
                               .id_lo = id.low64,
                               .k = k,
                               .kind = ALERT_FIRED,
                               .n_operands = r->n_operands,
                               .price_e9 = s->price_e9};
}

/* m: the moment that it belongs to, NULL if it is not kept. */
static void emit_alert(struct engine *e, const struct symbol *s, uint32_t rule, struct moment *m)
{
    const struct loaded_rule *r = &e->rule[rule];
    struct alert p;
    e->stats[rule].fired++;
    if (r->shadow)
        return;
    alert_head(e, s, rule, e->fired_k[rule], &p.head);
    for (unsigned i = 0; i < r->n_operands; i++)
        p.value[i] = shown_value(e, s, r->operand[i]);
    if (unlikely(m))
        keep_alert(e, s, &p, m);
    put_alert(e, s, r, &p);
    e->count.alerts++;
}

void emit_revised(struct engine *e, const struct symbol *s, const struct kept_alert *a, const int64_t *value)
{
    const struct loaded_rule *r = &e->rule[a->rule];
    struct alert p;
    alert_head(e, s, a->rule, a->k, &p.head);
    p.head.revision = a->revision;
    p.head.kind = a->withdrawn ? ALERT_WITHDRAWN : ALERT_REVISED;
    memcpy(p.value, value, 8 * (size_t)r->n_operands);
    put_alert(e, s, r, &p);
    e->count.alerts_withdrawn += a->withdrawn;
    e->count.alerts_revised += !a->withdrawn;
    e->stats[a->rule].withdrawn += a->withdrawn;
    e->stats[a->rule].revised += !a->withdrawn;
}

/* Returns how many are left. */
static uint32_t emit_alerts(struct engine *e, const struct symbol *s, const uint32_t *rule, uint32_t n,
                            struct moment *m)
{
    for (uint32_t i = 0; i < n; i++) {
        __builtin_prefetch(e->rule[rule[i]].id);
        __builtin_prefetch(e->rule[rule[i]].operand);
    }
    for (uint32_t i = 0; i < n; i++)
        emit_alert(e, s, rule[i], m);
    return 0;
}

void emit_fired(struct engine *e, struct symbol *s, bool at_close)
{
    struct moment m, *deciding = unlikely(moment_begin(e, s, at_close, &m)) ? &m : NULL;
    enum { BATCH = 16 }; /* what alerts say is anywhere in memory: it is asked for some rules at a time */
    uint32_t rule[BATCH], n = 0;
    e->any_fired = false;
    e->shown_stamp++;
    for (uint32_t i = 0; 4096 * i < e->n_rules; i++)
        for (; e->fired_words[i]; e->fired_words[i] &= e->fired_words[i] - 1) {
            uint32_t word = 64 * i + (uint32_t)__builtin_ctzll(e->fired_words[i]);
            for (; e->fired[word]; e->fired[word] &= e->fired[word] - 1) {
                rule[n] = 64 * word + (uint32_t)__builtin_ctzll(e->fired[word]);
                __builtin_prefetch(&e->rule[rule[n++]]);
                if (n == BATCH)
                    n = emit_alerts(e, s, rule, n, deciding);
            }
        }
    emit_alerts(e, s, rule, n, deciding);
    if (deciding)
        moment_end(e, s, deciding);
}

void emit_anomaly(struct engine *e, const struct symbol *s, enum anomaly_kind kind, uint32_t k,
                  const struct anomaly *a)
{
    struct msg_anomaly p;
    anomaly_fill(&p, kind, a, &(struct anomaly_place){e->name[place_of(e, s)], s->time_ns, k, s->price_e9});
    p.sub = next_sub(e, s);
    event_put(e, MSG_ANOMALY, s, s->time_ns, &p, sizeof p);
    e->count.anomalies++;
}

const char *const halt_names[STATUS_KINDS] = {[STATUS_TRADING] = "resumed", [STATUS_HALTED] = "halted"};

void emit_halt(struct engine *e, struct symbol *s, const struct msg_status *status)
{
    s->halt_k = s->halt_ns == s->time_ns ? s->halt_k + 1 : 0;
    s->halt_ns = s->time_ns;
    XXH128_hash_t id = moment_id(halt_names[status->kind], e->name[place_of(e, s)], s->time_ns, s->halt_k);
    struct msg_halt p = {.sub = next_sub(e, s), .kind = status->kind, .id_hi = id.high64, .id_lo = id.low64};
    memcpy(p.reason, status->reason, sizeof p.reason);
    event_put(e, MSG_HALT, s, s->time_ns, &p, sizeof p);
}
