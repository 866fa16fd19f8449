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

static inline void frame_put(struct msg *m, uint64_t seq, uint32_t symbol, enum msg_type type, unsigned flags)
{
    m->seq = seq;
    m->symbol = symbol;
    m->type = (uint8_t)type;
    m->venue = 0;
    m->flags = (uint16_t)flags;
}

/* A payload of MSG_FIRST_BYTES at least. engine_apply has seen to it that there is enough room. */
ALWAYS_INLINE void event_put(struct engine *e, enum msg_type type, unsigned flags, const struct symbol *s,
                             int64_t event_ns, const void *payload, size_t bytes)
{
    const uint8_t *p = payload;
    uint32_t n = msg_slots(bytes);
    struct msg *m = &e->out->slot[e->out->used];
    flags |= (n - 1) << MSG_MORE_SHIFT;
    assert(n <= MSG_SLOTS_MAX && e->out->used + n <= e->out->capacity && bytes >= MSG_FIRST_BYTES);
    e->out->used += n;
    frame_put(m, e->seq, s->id, type, flags);
    m->event_ns = event_ns;
    m->recv_ns = 0;
    memcpy(m->first, p, MSG_FIRST_BYTES);
    for (size_t at = MSG_FIRST_BYTES; at < bytes; at += MSG_CONT_BYTES) {
        size_t left = bytes - at < MSG_CONT_BYTES ? bytes - at : MSG_CONT_BYTES, done = 0;
        frame_put(++m, e->seq, s->id, type, flags | MSG_F_CONT);
        memset(m->body, 0, sizeof m->body);
        for (; left - done >= 8; done += 8) /* few: no call */
            memcpy(m->body + done, p + at + done, 8);
        if (unlikely(left > done))
            memcpy(m->body + done, p + at + done, left - done);
    }
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
    event_put(e, MSG_BAR, 0, s, (int64_t)b.bar.minute * MINUTE_NS, &p, sizeof p);
    if (b.rest.revision)
        e->count.revisions++;
    else
        e->count.bars++;
}

/* The end of the ids of a symbol's alerts at its time, all but k. */
struct id_end {
    uint8_t text[MOMENT_MAX];
    size_t n;
};

static struct id_end id_end_of(const struct engine *e, const struct symbol *s)
{
    struct id_end end;
    end.n = (size_t)(moment_put(end.text, e->name[place_of(e, s)], s->time_ns) - end.text);
    return end;
}

/* Alert id = xxh3_128 of: rule id, 0, version (u32), the moment. */
static inline XXH128_hash_t alert_id(const struct loaded_rule *r, const struct id_end *end, uint32_t k)
{
    uint8_t text[RULE_ID_MAX + 5 + MOMENT_MAX], *p = text;
    memcpy(p, r->id, r->id_len);
    p += r->id_len;
    *p++ = 0;
    memcpy(p, &r->version, 4);
    memcpy(p + 4, end->text, sizeof end->text); /* of which not all counts: no call */
    p += 4 + end->n;
    memcpy(p, &k, 4);
    return XXH3_128bits(text, (size_t)(p + 4 - text));
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

ALWAYS_INLINE void put_alert(struct engine *e, const struct symbol *s, const struct loaded_rule *r,
                             struct alert *p)
{
    size_t bytes = sizeof p->head + 8 * (size_t)r->n_operands;
    if (r->text_bytes)
        bytes += put_texts(e, s, r, p->value);
    event_put(e, MSG_ALERT, r->shadow ? MSG_F_SHADOW : 0, s, s->time_ns, p, bytes);
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
ALWAYS_INLINE void alert_head(struct engine *e, const struct symbol *s, const struct id_end *end,
                              uint32_t rule, uint32_t k, struct msg_alert *head)
{
    const struct loaded_rule *r = &e->rule[rule];
    XXH128_hash_t id = alert_id(r, end, k);
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
ALWAYS_INLINE void emit_alert(struct engine *e, const struct symbol *s, const struct id_end *end,
                              uint32_t rule, struct moment *m)
{
    const struct loaded_rule *r = &e->rule[rule];
    struct alert p;
    e->stats[rule].fired++;
    alert_head(e, s, end, rule, r->fired_k, &p.head);
    for (unsigned i = 0; i < r->n_operands; i++)
        p.value[i] = shown_value(e, s, r->operand[i]);
    if (unlikely(m))
        keep_alert(e, s, &p, m);
    put_alert(e, s, r, &p);
    e->count.alerts += !r->shadow;
    e->count.shadow_alerts += r->shadow;
}

void emit_revised(struct engine *e, const struct symbol *s, const struct kept_alert *a, const int64_t *value)
{
    const struct loaded_rule *r = &e->rule[a->rule];
    struct alert p;
    struct id_end end = id_end_of(e, s);
    alert_head(e, s, &end, a->rule, a->k, &p.head);
    p.head.revision = a->revision;
    p.head.kind = a->withdrawn ? ALERT_WITHDRAWN : ALERT_REVISED;
    memcpy(p.value, value, 8 * (size_t)r->n_operands);
    put_alert(e, s, r, &p);
    e->count.alerts_withdrawn += !r->shadow && a->withdrawn;
    e->count.alerts_revised += !r->shadow && !a->withdrawn;
    e->count.shadow_alerts += r->shadow;
    e->stats[a->rule].withdrawn += a->withdrawn;
    e->stats[a->rule].revised += !a->withdrawn;
}

void emit_fired(struct engine *e, struct symbol *s, bool at_close)
{
    struct moment m, *deciding = unlikely(moment_begin(e, s, at_close, &m)) ? &m : NULL;
    struct id_end end = id_end_of(e, s);
    e->any_fired = false;
    e->shown_stamp++;
    for (uint32_t i = 0; 4096 * i < e->n_rules; i++)
        for (; e->fired_words[i]; e->fired_words[i] &= e->fired_words[i] - 1) {
            uint32_t word = 64 * i + (uint32_t)__builtin_ctzll(e->fired_words[i]);
            for (; e->fired[word]; e->fired[word] &= e->fired[word] - 1)
                emit_alert(e, s, &end, 64 * word + (uint32_t)__builtin_ctzll(e->fired[word]), deciding);
        }
    if (deciding)
        moment_end(e, s, deciding);
}

void emit_anomaly(struct engine *e, const struct symbol *s, enum anomaly_kind kind, uint32_t k,
                  const struct anomaly *a)
{
    struct msg_anomaly p;
    anomaly_fill(&p, kind, a, &(struct anomaly_place){e->name[place_of(e, s)], s->time_ns, k, s->price_e9});
    p.sub = next_sub(e, s);
    event_put(e, MSG_ANOMALY, 0, s, s->time_ns, &p, sizeof p);
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
    event_put(e, MSG_HALT, 0, s, s->time_ns, &p, sizeof p);
}
