/* ringtape explain, why-not: replay to the moment in question, one message at a time there, and show what the
 * engine saw. */
#include "workers/cmd_explain.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/bucket.h"
#include "core/decimal.h"
#include "core/explain.h"
#include "net/outbox.h"
#include "shm/msg_memory.h"
#include "workers/replayer.h"

const char cmd_explain_details[] =
    "ID is the alert's id. With --dir it is looked up in the instance's outbox, made again from the capture, "
    "and\n"
    "compared byte for byte. Each comparison is shown with its two sides as of the alert's message.";

const char cmd_why_not_details[] = "TIME is RFC 3339 or nanoseconds: the state after the last message of the "
                                   "symbol, or clock, up to it. Shown are\n"
                                   "each comparison with its two sides and how far it is from being true, "
                                   "and the first gate that held the rule.";

const struct cli_option cmd_explain_options[] = {
    {.name = "dir",
     .arg = "DIR",
     .help = "an instance's directory: its capture is the source",
     .kind = CLI_TEXT},
    {.name = "rules",
     .arg = "FILE",
     .help = "the rules (JSON); a capture has its own otherwise",
     .kind = CLI_TEXT},
    STREAM_FILE_OPTIONS,
    STREAM_OVERRIDE_OPTION,
    {.name = "json", .help = "print one JSON object", .kind = CLI_FLAG},
    {0},
};

/* The message that an explanation stands behind. */
struct moment {
    struct explanation state;
    struct msg message; /* its first slot; type NONE: none came */
};

struct inquiry {
    struct replayer r;
    char capture[4200]; /* of --dir, as a source */
    const char *sources[64];
    unsigned n_sources;
    struct moment *now, *before;     /* of the rule and symbol asked for */
    struct explain_watch *watch;     /* … where its last minute ended */
    char (*expr)[RULE_EXPR_MAX + 1]; /* of the version in force */
    struct parts parts;
    /* asked for */
    const char *id; /* explain: the alert's, 32 hex digits */
    char rule[RULE_ID_MAX + 1];
    const char *symbol; /* why-not; and its id and bucket once it is known */
    int64_t to_ns;
    uint32_t symbol_id, bucket;
    uint64_t seq; /* explain: of the alert's message, 0 as long as it is not known */
    /* found */
    char alert[EVENT_JSON_MAX], stored[EVENT_JSON_MAX], latest[EVENT_JSON_MAX];
    bool has_alert, has_stored, has_latest; /* latest: of its revisions in the outbox */
    uint64_t alerts;                     /* why-not: of the rule and symbol up to TIME; `alert` is the last */
    int64_t true_since_ns, last_true_ns; /* why-not: INT64_MIN: it is not, never was */
};

enum { NO_SYMBOL = UINT32_MAX };

static bool is_alert_of(const struct inquiry *q, const char *json)
{
    return !strncmp(json, "{\"id\":\"", 7) && !strncmp(json + 7, q->id, 32);
}

/* The rule's text, as messages bring it. */
static void learn_rule(struct inquiry *q, const struct msg *m)
{
    struct rule r;
    struct error err;
    if (parts_add(&q->parts, m) > 0 && rule_decode(q->parts.bytes, q->parts.len, &r, &err) == 0 &&
        !strcmp(r.id, q->rule))
        snprintf(*q->expr, sizeof *q->expr, "%.*s", (int)r.expr_len, r.expr);
}

static void learn_symbol(struct inquiry *q, const struct msg *m)
{
    const struct source_symbol *s = stream_symbol(q->r.stream, m->symbol);
    if (!strcmp(s->name, q->symbol)) {
        q->symbol_id = m->symbol;
        q->bucket = m->sym.bucket;
        q->watch->symbol = m->symbol;
    }
}

/* The engine stands behind message m: a moment of the rule and symbol. */
static void stand(struct inquiry *q, const struct msg *m)
{
    struct moment *x = q->before;
    engine_explain(q->r.memory.engine, q->rule, q->symbol_id, &q->now->state, &x->state);
    x->message = *m;
    q->before = q->now;
    q->now = x;
}

static int open_inquiry(struct inquiry *q, const struct cli_args *a)
{
    const char *rules = cli_text(a, "rules", NULL);
    int code = replayer_open(&q->r, a, rules, q->sources, q->n_sources);
    q->r.ctx = q;
    return code;
}

/* ---- explain */

/* First pass: which message decided the alert? */
static int find(void *ctx, const struct msg *m, int n, const struct engine_out *out)
{
    struct inquiry *q = ctx;
    (void)m;
    (void)n;
    for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k])) {
        struct msg_alert head;
        char id[33];
        memcpy(&head, out->slot[k].first, MSG_FIRST_BYTES);
        snprintf(id, sizeof id, "%016" PRIx64 "%016" PRIx64, head.id_hi, head.id_lo);
        if (out->slot[k].type != MSG_ALERT || strcmp(id, q->id) != 0)
            continue;
        const struct event_rule *rule = rule_names_get(q->r.names, head.rule);
        if (!rule)
            continue;
        snprintf(q->rule, sizeof q->rule, "%s", rule->id);
        q->seq = out->slot[k].seq;
        q->symbol_id = out->slot[k].symbol;
        q->r.stop = true;
        break;
    }
    return 0;
}

/* Second pass. */
static int before_alert(void *ctx, const struct msg *m)
{
    struct inquiry *q = ctx;
    if (m->type == MSG_RULE)
        learn_rule(q, m);
    if (m->seq > q->seq)
        q->r.stop = true;
    else if (m->seq == q->seq)
        stand(q, m);
    return 0;
}

static int after_alert(void *ctx, const struct msg *m, int n, const struct engine_out *out)
{
    struct inquiry *q = ctx;
    (void)n;
    for (uint32_t k = 0; k < out->used && m->seq == q->seq; k += msg_slot_count(&out->slot[k])) {
        struct event_symbol symbol;
        if (out->slot[k].type != MSG_ALERT || !replayer_wants(&q->r, &out->slot[k], &symbol))
            continue;
        int len = replayer_alert_json(&q->r, &out->slot[k], &symbol, q->alert);
        if (len < 0)
            return -1;
        q->alert[len] = 0;
        if (!is_alert_of(q, q->alert))
            continue;
        stand(q, m);
        if (q->now->state.trigger == TRIGGER_BAR_CLOSE)
            q->now->state = q->watch->at_close;
        q->has_alert = q->r.stop = true;
        return 0;
    }
    return 0;
}

/* The alert as the outbox has it: whose, and of which message. */
static int look_up(struct inquiry *q, const char *dir)
{
    char path[4200];
    struct outbox_record record;
    uint64_t first;
    int rc;
    snprintf(path, sizeof path, "%s/outbox", dir);
    struct outbox_reader *r = outbox_reader_open(path, 0, &first, &q->r.err);
    if (!r)
        return 0; /* made again from the capture all the same */
    while ((rc = outbox_read(r, &record, &q->r.err)) > 0) {
        bool alert = record.kind == OUTBOX_ALERT || record.kind == OUTBOX_SHADOW;
        if (!alert || record.json_len < 39 || record.json_len >= sizeof q->stored ||
            !is_alert_of(q, record.json))
            continue;
        if (q->has_stored) {
            memcpy(q->latest, record.json, record.json_len);
            q->latest[record.json_len] = 0;
            q->has_latest = true;
            continue;
        }
        memcpy(q->stored, record.json, record.json_len);
        q->stored[record.json_len] = 0;
        json_t *o = json_loads(q->stored, 0, NULL);
        const char *rule = json_string_value(json_object_get(o, "rule_id"));
        snprintf(q->rule, sizeof q->rule, "%s", rule ? rule : "");
        json_decref(o);
        q->seq = record.seq;
        q->symbol_id = record.symbol;
        q->has_stored = true;
    }
    outbox_reader_close(r);
    return rc < 0 ? -1 : 0;
}

static int explain(struct inquiry *q)
{
    const struct cli_args *a = q->r.args;
    const char *dir = cli_text(a, "dir", NULL);
    if (strlen(q->id) != 32 || strspn(q->id, "0123456789abcdef") != 32)
        return cli_fail(a, CLI_USAGE, "'%s': expected an alert's id, 32 hex digits", q->id);
    if (dir && look_up(q, dir) < 0)
        return cli_fail(a, CLI_DAMAGED, "%s", q->r.err.text);
    int code = CLI_OK;
    if (!q->seq) {
        if ((code = open_inquiry(q, a)) != CLI_OK)
            return code;
        q->r.applied = find;
        if (replayer_run(&q->r) < 0)
            return cli_fail(a, CLI_FAILED, "%s", q->r.err.text);
        if (!q->seq)
            return cli_fail(a, CLI_FAILED,
                            "no alert %s in %" PRIu64 " messages; expected one of this source and rules",
                            q->id, stream_last_seq(q->r.stream));
        replayer_close(&q->r);
        q->r = (struct replayer){.args = a};
    }
    if ((code = open_inquiry(q, a)) != CLI_OK)
        return code;
    q->watch->symbol = q->symbol_id;
    memcpy(q->watch->rule_id, q->rule, sizeof q->rule);
    engine_watch(q->r.memory.engine, q->watch);
    q->r.before = before_alert;
    q->r.applied = after_alert;
    if (replayer_run(&q->r) < 0)
        return cli_fail(a, CLI_FAILED, "%s", q->r.err.text);
    if (!q->has_alert)
        return cli_fail(a, CLI_FAILED,
                        "alert %s is in the outbox, decided by message %" PRIu64
                        ", and is not made again from the "
                        "capture: were rules or settings overridden?",
                        q->id, q->seq);
    return CLI_OK;
}

/* ---- why-not */

static int before_time(void *ctx, const struct msg *m)
{
    struct inquiry *q = ctx;
    bool its = (m->type == MSG_CLOCK && q->symbol_id != NO_SYMBOL && m->symbol == q->bucket) ||
               (msg_is_tick(m) && m->symbol == q->symbol_id);
    if (m->type == MSG_RULE)
        learn_rule(q, m);
    if (its && m->event_ns > q->to_ns)
        q->r.stop = true;
    return 0;
}

static int after_message(void *ctx, const struct msg *m, int n, const struct engine_out *out)
{
    struct inquiry *q = ctx;
    if (n > 0 && m->type == MSG_SYMBOL)
        learn_symbol(q, m);
    if (q->symbol_id == NO_SYMBOL)
        return 0;
    for (uint32_t k = 0; k < out->used; k += msg_slot_count(&out->slot[k])) {
        struct event_symbol symbol;
        struct msg_alert head;
        const struct event_rule *rule;
        memcpy(&head, out->slot[k].first, MSG_FIRST_BYTES);
        if (out->slot[k].type != MSG_ALERT || out->slot[k].symbol != q->symbol_id ||
            head.kind != ALERT_FIRED || !(rule = rule_names_get(q->r.names, head.rule)) ||
            strcmp(rule->id, q->rule) != 0 || !replayer_wants(&q->r, &out->slot[k], &symbol))
            continue;
        int len = replayer_alert_json(&q->r, &out->slot[k], &symbol, q->alert);
        if (len < 0)
            return -1;
        q->alert[len] = 0;
        q->has_alert = true;
        q->alerts++;
    }
    if (n == 0 || (m->type == MSG_CLOCK ? m->symbol != q->bucket : m->symbol != q->symbol_id))
        return 0;
    stand(q, m);
    const struct explanation *x = &q->now->state, *close = &q->watch->at_close;
    if (x->trigger == TRIGGER_BAR_CLOSE && x->gate > EXPLAIN_EXPIRED && close->n_nodes &&
        close->version == x->version)
        q->now->state = *close; /* such a rule saw the last bar's end, and nothing since */
    bool is_true = x->n_nodes && x->node[x->n_nodes - 1].truth == EXPLAIN_TRUE;
    q->true_since_ns = !is_true ? INT64_MIN : q->true_since_ns == INT64_MIN ? x->time_ns : q->true_since_ns;
    q->last_true_ns = is_true ? x->time_ns : q->last_true_ns;
    return 0;
}

static int why_not(struct inquiry *q)
{
    const struct cli_args *a = q->r.args;
    int code = open_inquiry(q, a);
    if (code != CLI_OK)
        return code;
    snprintf(q->watch->rule_id, sizeof q->watch->rule_id, "%s", q->rule);
    q->watch->symbol = NO_SYMBOL;
    engine_watch(q->r.memory.engine, q->watch);
    q->r.before = before_time;
    q->r.applied = after_message;
    if (replayer_run(&q->r) < 0)
        return cli_fail(a, CLI_FAILED, "%s", q->r.err.text);
    if (!q->now->message.type) /* the symbol never came */
        engine_explain(q->r.memory.engine, q->rule, q->symbol_id, NULL, &q->now->state);
    return CLI_OK;
}

/* ---- showing */

static const char *const gate_names[] = {
    [EXPLAIN_NO_RULE] = "no_rule",
    [EXPLAIN_NO_SYMBOL] = "no_symbol",
    [EXPLAIN_DISABLED] = "disabled",
    [EXPLAIN_OTHER_SYMBOLS] = "other_symbols",
    [EXPLAIN_NEW] = "new",
    [EXPLAIN_EXPIRED] = "expired",
    [EXPLAIN_EXPRESSION] = "expression",
    [EXPLAIN_SESSION] = "session",
    [EXPLAIN_HALT] = "halt",
    [EXPLAIN_COOLDOWN] = "cooldown",
    [EXPLAIN_OPEN] = "none",
};
static const char *const truth_names[] = {"false", "unknown", "true"};

struct stamp {
    char text[DECIMAL_TEXT_MAX];
};

static struct stamp stamp(int64_t ns)
{
    struct stamp s = {"never"};
    if (ns >= 0 && ns < INT64_MAX)
        decimal_format_time(ns, s.text);
    return s;
}

static struct stamp number(double d)
{
    struct stamp s = {"no value"};
    if (!isnan(d))
        snprintf(s.text, sizeof s.text, "%.10g", d);
    return s;
}

static struct stamp price(int64_t e9)
{
    struct stamp s = {"no price"};
    if (e9 != KEY_UNKNOWN)
        decimal_format_e9(e9, s.text);
    return s;
}

static double apart(const struct explain_node *n)
{
    return fabs(n->value - n->bound);
}

static void print_node(FILE *out, const struct explanation *x, unsigned i, int depth, int parent)
{
    const struct explain_node *n = &x->node[i];
    if (expr_is_span(n->op)) {
        fprintf(out, "  %-8s%*s%s\n", truth_names[n->truth], 2 * depth, "", n->text);
        print_node(out, x, n->left, depth + 1, n->op);
        return;
    }
    if (n->op >= EXPR_AND) {
        bool same = parent == n->op;
        if (!same)
            fprintf(out, "  %-8s%*s%s\n", truth_names[n->truth], 2 * depth, "",
                    n->op == EXPR_AND ? "all of" : "any of");
        print_node(out, x, n->left, depth + !same, n->op);
        print_node(out, x, n->right, depth + !same, n->op);
        return;
    }
    fprintf(out, "  %-8s%*s%s", truth_names[n->truth], 2 * depth, "", n->text);
    if (n->is_text)
        fprintf(out, n->value_text[0] ? "    \"%s\"\n" : "    not known of the symbol\n", n->value_text);
    else if (!strncmp(n->text, "session ", 8) && !isnan(n->value))
        fprintf(out, "    \"%s\"\n", session_names[x->session]);
    else if (n->truth == EXPLAIN_UNKNOWN)
        fprintf(out, "    %s to %s: not enough history\n", number(n->value).text, number(n->bound).text);
    else
        fprintf(out, "    %s to %s: %s apart\n", number(n->value).text, number(n->bound).text,
                number(apart(n)).text);
}

static json_t *text_json(const char *text)
{
    json_t *s = *text ? json_string(text) : NULL;
    return s ? s : json_null(); /* unknown, or no UTF-8 */
}

static json_t *node_json(const struct explanation *x, unsigned i)
{
    const struct explain_node *n = &x->node[i];
    if (expr_is_span(n->op))
        return json_pack("{s:s,s:s,s:[o]}", "op", n->text, "truth", truth_names[n->truth], "of",
                         node_json(x, n->left));
    if (n->op >= EXPR_AND)
        return json_pack("{s:s,s:s,s:[o,o]}", "op", n->op == EXPR_AND ? "and" : "or", "truth",
                         truth_names[n->truth], "of", node_json(x, n->left), node_json(x, n->right));
    json_t *o = json_pack("{s:s,s:s}", "comparison", n->text, "truth", truth_names[n->truth]);
    if (n->is_text) {
        json_object_set_new(o, "value", text_json(n->value_text));
        json_object_set_new(o, "bound", text_json(n->bound_text));
        return o;
    }
    json_object_set_new(o, "value", isnan(n->value) ? json_null() : json_real(n->value));
    json_object_set_new(o, "bound", isnan(n->bound) ? json_null() : json_real(n->bound));
    if (n->truth != EXPLAIN_UNKNOWN)
        json_object_set_new(o, "apart", json_real(apart(n)));
    return o;
}

static void print_message(FILE *out, const struct inquiry *q, const struct msg *m)
{
    const struct source_symbol *s = m->type == MSG_CLOCK ? NULL : stream_symbol(q->r.stream, m->symbol);
    char size[DECIMAL_TEXT_MAX];
    fprintf(out, "message %" PRIu64 ": %s", m->seq, msg_type_name(m->type));
    if (m->type == MSG_TRADE) {
        decimal_format(m->trade.size, s->size_scale, size);
        fprintf(out, " of %s at %s, event time %s", size, price(m->trade.price_e9).text,
                stamp(m->event_ns).text);
    } else if (m->type == MSG_QUOTE) {
        fprintf(out, " %s / %s, event time %s", price(m->quote.bid_e9).text, price(m->quote.ask_e9).text,
                stamp(m->event_ns).text);
    } else if (m->type == MSG_CLOCK) {
        fprintf(out, " of bucket %u, %s", m->symbol, stamp(m->event_ns).text);
    }
    fprintf(out, "\n");
}

/* Rule, symbol, expression. */
static void print_state(FILE *out, const struct inquiry *q, const char *symbol)
{
    const struct explanation *x = &q->now->state;
    if (x->gate == EXPLAIN_NO_RULE)
        return;
    fprintf(out, "rule %s, version %u, %s, cooldown %s s%s: %s\n", q->rule, x->version,
            rule_trigger_names[x->trigger], number((double)x->cooldown_ns / 1e9).text,
            x->shadow ? ", shadow" : "", *q->expr);
    if (x->gate > EXPLAIN_NO_SYMBOL)
        fprintf(out, "%s at %s, price %s, session %s\n", symbol, stamp(x->time_ns).text,
                price(x->price_e9).text, session_names[x->session]);
    if (q->now->message.type && x->gate > EXPLAIN_NO_SYMBOL)
        print_message(out, q, &q->now->message);
    if (x->n_nodes)
        print_node(out, x, x->n_nodes - 1u, 0, -1);
}

static void print_verdict(FILE *out, const struct inquiry *q)
{
    const struct explanation *x = &q->now->state;
    bool unknown = x->n_nodes && x->node[x->n_nodes - 1].truth == EXPLAIN_UNKNOWN;
    switch (x->gate) {
    case EXPLAIN_NO_RULE:
        fprintf(out, "no rule '%s' has come by then\n", q->rule);
        break;
    case EXPLAIN_NO_SYMBOL:
        fprintf(out, "%s has had no message by then\n", q->symbol);
        break;
    case EXPLAIN_DISABLED:
        fprintf(out, "held: the rule is disabled\n");
        break;
    case EXPLAIN_OTHER_SYMBOLS:
        fprintf(out, "held: the rule names its symbols, and %s is none of them\n", q->symbol);
        break;
    case EXPLAIN_NEW:
        fprintf(out,
                "held: the rule has come since the last message of %s; the next one evaluates it first\n",
                q->symbol);
        break;
    case EXPLAIN_EXPIRED:
        fprintf(out, "held: the rule expired at %s\n", stamp(x->expires_ns).text);
        break;
    case EXPLAIN_EXPRESSION:
        fprintf(out, "held: the expression is %s\n", unknown ? "unknown: warm-up" : "false");
        break;
    case EXPLAIN_SESSION:
        fprintf(out, "held by session: it is %s\n", session_names[x->session]);
        break;
    case EXPLAIN_HALT:
        fprintf(out, "held by halt: trading in %s is halted\n", q->symbol);
        break;
    case EXPLAIN_COOLDOWN:
        if (x->ready_ns == INT64_MAX)
            fprintf(out, "held: it fires once, and has at %s\n", stamp(x->fired_ns).text);
        else
            fprintf(out, "held by cooldown: fired at %s, may again from %s\n", stamp(x->fired_ns).text,
                    stamp(x->ready_ns).text);
        break;
    case EXPLAIN_OPEN:
        if (x->trigger == TRIGGER_CROSS)
            fprintf(out, "nothing holds it: it is true since %s, and fires only where it becomes true\n",
                    stamp(q->true_since_ns).text);
        else if (x->trigger == TRIGGER_BAR_CLOSE)
            fprintf(out, "nothing holds it: it is true, and is evaluated where a bar ends\n");
        else
            fprintf(out, "nothing holds it: it fires at a tick at which it is true\n");
        break;
    }
    if (q->last_true_ns != INT64_MIN)
        fprintf(out, "last true at %s\n", stamp(q->last_true_ns).text);
    fprintf(out, "%" PRIu64 " alert%s of it for %s by then%s%s\n", q->alerts, q->alerts == 1 ? "" : "s",
            q->symbol, q->has_alert ? ", the last: " : "", q->has_alert ? q->alert : "");
}

static json_t *stamp_json(int64_t ns)
{
    return ns >= 0 && ns < INT64_MAX ? json_string(stamp(ns).text) : json_null();
}

static json_t *state_json(const struct inquiry *q, const char *symbol)
{
    const struct explanation *x = &q->now->state;
    json_t *o = json_pack("{s:s,s:i,s:s,s:s,s:s}", "rule_id", q->rule, "rule_version", (int)x->version,
                          "trigger", rule_trigger_names[x->trigger], "expr", *q->expr, "symbol", symbol);
    json_object_set_new(o, "timestamp", stamp_json(x->gate > EXPLAIN_NO_SYMBOL ? x->time_ns : -1));
    json_object_set_new(o, "price",
                        x->price_e9 == KEY_UNKNOWN ? json_null() : json_real((double)x->price_e9 / 1e9));
    json_object_set_new(o, "session", json_string(session_names[x->session]));
    json_object_set_new(o, "seq", json_integer((json_int_t)q->now->message.seq));
    json_object_set_new(o, "message", json_string(msg_type_name(q->now->message.type)));
    json_object_set_new(o, "expression", x->n_nodes ? node_json(x, x->n_nodes - 1u) : json_null());
    return o;
}

static int show_explain(const struct inquiry *q)
{
    const struct cli_args *a = q->r.args;
    bool same = !q->has_stored || !strcmp(q->alert, q->stored);
    const char *symbol = stream_symbol(q->r.stream, q->symbol_id)->name;
    if (cli_has(a, "json")) {
        json_t *o = state_json(q, symbol);
        json_object_set_new(o, "alert", json_loads(q->alert, 0, NULL));
        if (q->has_latest)
            json_object_set_new(o, "latest", json_loads(q->latest, 0, NULL));
        json_object_set_new(o, "reproduced",
                            json_string(!q->has_stored ? "made"
                                        : same         ? "equal"
                                                       : "different"));
        json_dumpf(o, a->out, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        fprintf(a->out, "\n");
        json_decref(o);
    } else {
        print_state(a->out, q, symbol);
        fprintf(a->out, "alert %s\n", q->alert);
        if (q->has_stored)
            fprintf(a->out, same ? "equal, byte for byte, to the one in the outbox\n" : "the outbox has %s\n",
                    q->stored);
        if (q->has_latest)
            fprintf(a->out, "its print was cancelled since: %s\n", q->latest);
    }
    return same ? CLI_OK
                : cli_fail(a, CLI_DAMAGED, "alert %s made again differs from the one in the outbox", q->id);
}

static int show_why_not(const struct inquiry *q)
{
    const struct cli_args *a = q->r.args;
    const struct explanation *x = &q->now->state;
    if (!cli_has(a, "json")) {
        print_state(a->out, q, q->symbol);
        print_verdict(a->out, q);
        return CLI_OK;
    }
    json_t *o = state_json(q, q->symbol);
    json_object_set_new(o, "held_by", json_string(gate_names[x->gate]));
    json_object_set_new(o, "fired_at", stamp_json(x->fired_ns));
    json_object_set_new(o, "ready_at", stamp_json(x->ready_ns));
    json_object_set_new(o, "true_since", stamp_json(q->true_since_ns));
    json_object_set_new(o, "last_true", stamp_json(q->last_true_ns));
    json_object_set_new(o, "alerts", json_integer((json_int_t)q->alerts));
    json_object_set_new(o, "last_alert", q->has_alert ? json_loads(q->alert, 0, NULL) : json_null());
    json_dumpf(o, a->out, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    fprintf(a->out, "\n");
    json_decref(o);
    return CLI_OK;
}

/* ---- the commands */

static struct inquiry *inquiry_new(const struct cli_args *a)
{
    struct inquiry *q = calloc(1, sizeof *q);
    if (!q || !(q->now = msg_holder_new(sizeof *q->now)) ||
        !(q->before = msg_holder_new(sizeof *q->before)) || !(q->expr = calloc(1, sizeof *q->expr)) ||
        !(q->watch = calloc(1, sizeof *q->watch)))
        abort();
    q->r.args = a;
    q->symbol_id = NO_SYMBOL;
    q->true_since_ns = q->last_true_ns = INT64_MIN;
    return q;
}

static void inquiry_free(struct inquiry *q)
{
    replayer_close(&q->r);
    free(q->now);
    free(q->before);
    free(q->expr);
    free(q->watch);
    free(q);
}

/* The sources: those behind `at` on the command line, or the capture of --dir. */
static int take_sources(struct inquiry *q, int at)
{
    const struct cli_args *a = q->r.args;
    const char *dir = cli_text(a, "dir", NULL);
    if ((dir != NULL) == (a->positional_count > at))
        return cli_fail(a, CLI_USAGE, "expected --dir DIR, or sources, and not both");
    if (dir) {
        snprintf(q->capture, sizeof q->capture, "capture:%s/capture", dir);
        q->sources[q->n_sources++] = q->capture;
    }
    for (; at < a->positional_count; at++)
        q->sources[q->n_sources++] = a->positional[at];
    return CLI_OK;
}

int cmd_explain(const struct cli_args *a)
{
    struct inquiry *q = inquiry_new(a);
    q->id = a->positional[0];
    int code = take_sources(q, 1);
    if (code == CLI_OK)
        code = explain(q);
    if (code == CLI_OK)
        code = show_explain(q);
    inquiry_free(q);
    return code;
}

int cmd_why_not(const struct cli_args *a)
{
    struct inquiry *q = inquiry_new(a);
    const char *time = a->positional[2];
    snprintf(q->rule, sizeof q->rule, "%s", a->positional[0]);
    q->symbol = a->positional[1];
    int code = CLI_OK;
    if (decimal_parse_time(time, strlen(time), &q->to_ns) != DECIMAL_OK)
        code =
            cli_fail(a, CLI_USAGE,
                     "'%s': expected a time such as 2013-10-08T13:45:27Z, or nanoseconds since 1970", time);
    if (code == CLI_OK)
        code = take_sources(q, 3);
    if (code == CLI_OK)
        code = why_not(q);
    if (code == CLI_OK)
        code = show_why_not(q);
    inquiry_free(q);
    return code;
}
