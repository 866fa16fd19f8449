/* What the engine promises, case by case: triggers, time, bars, rules that change, limits, and how calls are
 * split. Cases are scripts, one step a line or after `;`, times in seconds after T0:
 *
 *   rule ID COOLDOWN_S TRIGGER [v=N] [off] [shadow] [in=BITS] [until=TIME] [sym=A,B] : EXPRESSION
 *                                  a new slot, by order; in: sessions, bits 1 << enum session_kind
 *   t TIME SYMBOL PRICE [SIZE]     a trade          q TIME SYMBOL BID ASK     a quote
 *   c TIME SYMBOL                  a CLOCK of the symbol's bucket             set KEY=VALUE
 *   day CALENDAR T0 T1 T2 T3       a trading day, minutes after T0            close SYMBOL PRICE yesterday's
 *   attr SYMBOL COLUMN=VALUE …     its attributes, times in seconds after T0
 *
 * Symbols are A (bucket 0), B (512), C (0), D (1023, its sizes have 2 decimals), all of calendar 0. What
 * comes out is one text: alerts as id@time, ~ before those of a rule in mode shadow, :price where a table
 * asks for it, /SYMBOL if it is not A, #k if k > 0; bars as [SYMBOL minute open/high/low/close volume trades
 * rN].
 *
 * Each script is run with all messages in one call, one in a call, two in a call, and with a CLOCK at every
 * grid point that one passes.
 */
#include "tests/unit/engine_harness.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { SHOW_ALERTS = 1, SHOW_PRICES = 2, SHOW_BARS = 4 };

struct script {
    struct tape tape;
    char id[64][32]; /* of rules, by slot */
    unsigned rules;
    bool known[4];
    bool every_second; /* a CLOCK at each grid point up to one's time */
    int64_t clock_ns[4];
};

static const uint16_t buckets[] = {0, 512, 0, 1023};

static int64_t seconds(const char *text)
{
    return T0 + PX(atof(text));
}

static uint32_t symbol_id(struct script *s, const char *name)
{
    uint32_t i = (uint32_t)(name[0] - 'A');
    assert_true(i < 4 && !name[1]);
    if (!s->known[i]) { /* a bucket's first CLOCK is always given; what follows may stand for several */
        put_symbol(&s->tape, i, name, buckets[i], i == 3 ? 2 : 0, 0);
        put_clock(&s->tape, buckets[i], T0 - DAY + bucket_offset_ns(buckets[i]));
    }
    s->known[i] = true;
    return i;
}

static void script_rule(struct script *s, char *line)
{
    char *expr = strstr(line, " : "), trigger[16], symbols[100] = "";
    unsigned t = 0;
    struct rule_spec r = {.version = 1};
    double cooldown;
    assert_non_null(expr);
    *expr = 0;
    r.id = s->id[s->rules];
    r.expr = expr + 3;
    assert_int_equal(sscanf(line, "rule %31s %lf %15s", s->id[s->rules], &cooldown, trigger), 3);
    r.cooldown_ns = PX(cooldown);
    while (t < TRIGGER_COUNT && strcmp(rule_trigger_names[t], trigger))
        t++;
    assert_true(t < TRIGGER_COUNT);
    r.trigger = (enum rule_trigger)t;
    r.shadow = strstr(line, " shadow");
    if (strstr(line, " in="))
        r.sessions = (uint8_t)atoi(strstr(line, " in=") + 4);
    if (strstr(line, " until="))
        r.expires_ns = seconds(strstr(line, " until=") + 7);
    r.disabled = strstr(line, " off");
    if (strstr(line, " v="))
        r.version = (uint32_t)atoi(strstr(line, " v=") + 3);
    if (strstr(line, " sym=") && sscanf(strstr(line, " sym="), " sym=%99s", symbols) == 1)
        r.symbols = symbols;
    put_rule(&s->tape, s->rules++, &r);
}

static void script_clock(struct script *s, uint32_t symbol, int64_t t)
{
    uint32_t bucket = buckets[symbol];
    int64_t grid = s->clock_ns[symbol] ? s->clock_ns[symbol] : bucket_grid_ceil(bucket, T0);
    for (; s->every_second && grid < t; grid += SEC)
        put_clock(&s->tape, bucket, grid);
    put_clock(&s->tape, bucket, t);
    s->clock_ns[symbol] = grid;
}

static void script_attributes(struct script *s, uint32_t symbol, char w[][40], int n)
{
    struct attributes a;
    attributes_clear(&a);
    for (int i = 0; i < n; i++) {
        char *value = strchr(w[i], '=');
        unsigned k = 0;
        assert_non_null(value);
        *value++ = 0;
        while (k < ATTRIBUTE_COUNT && strcmp(attribute_rows[k].column, w[i]))
            k++;
        assert_true(k < ATTRIBUTE_COUNT);
        if (attribute_rows[k].kind == ATTRIBUTE_TEXT)
            assert_true(attribute_set_text(&a, (enum attribute)k, value, strlen(value)));
        else
            a.value[k] =
                attribute_rows[k].kind == ATTRIBUTE_TIME ? seconds(value) : key_of_double(atof(value));
    }
    put_attributes(&s->tape, symbol, &a);
}

static void script_line(struct script *s, char *line)
{
    char verb[8], w[5][40] = {"", "", "", "", ""};
    int n = sscanf(line, " %7s %39s %39s %39s %39s %39s", verb, w[0], w[1], w[2], w[3], w[4]);
    if (n < 1)
        return;
    if (!strcmp(verb, "rule")) {
        script_rule(s, line + strspn(line, " "));
    } else if (!strcmp(verb, "t")) {
        put_trade(&s->tape, symbol_id(s, w[1]), seconds(w[0]), PX(atof(w[2])),
                  n > 4 ? strtoull(w[3], NULL, 10) : 100);
    } else if (!strcmp(verb, "q")) {
        put_quote(&s->tape, symbol_id(s, w[1]), seconds(w[0]), PX(atof(w[2])), PX(atof(w[3])));
    } else if (!strcmp(verb, "c")) {
        script_clock(s, symbol_id(s, w[1]), seconds(w[0]));
    } else if (!strcmp(verb, "day")) {
        put_setting(&s->tape, "calendar.%s=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, w[0],
                    T0 + atoi(w[1]) * MIN, T0 + atoi(w[2]) * MIN, T0 + atoi(w[3]) * MIN,
                    T0 + atoi(w[4]) * MIN);
    } else if (!strcmp(verb, "close")) {
        put_daily(&s->tape, symbol_id(s, w[0]), T0 - DAY, PX(atof(w[1])));
    } else if (!strcmp(verb, "attr")) {
        script_attributes(s, symbol_id(s, w[0]), w + 1, n - 2);
    } else if (!strcmp(verb, "set")) {
        put_setting(&s->tape, "%s", w[0]);
    } else {
        fail_msg("script: '%s'", line);
    }
}

static void script_parse(struct script *s, const char *text)
{
    char copy[4000], *save = NULL;
    assert_true(strlen(text) < sizeof copy);
    strcpy(copy, text);
    for (char *line = strtok_r(copy, ";\n", &save); line; line = strtok_r(NULL, ";\n", &save))
        script_line(s, line);
    tape_stamp(&s->tape, 1);
}

static void events_text(const struct script *s, const struct tape *events, int show, char *out, size_t size)
{
    size_t n = 0;
    out[0] = 0;
    for (size_t at = 0; at < events->n; at += msg_slot_count(&events->slot[at])) {
        const struct msg *m = &events->slot[at];
        if (m->type == MSG_ALERT && show & SHOW_ALERTS) {
            struct msg_alert a;
            alert_head(m, &a);
            n += (size_t)snprintf(out + n, size - n, "%s%s%s@%.12g", n ? " " : "",
                                  m->flags & MSG_F_SHADOW ? "~" : "", s->id[a.rule],
                                  (double)(m->event_ns - T0) / 1e9);
            if (show & SHOW_PRICES && a.price_e9 == ALERT_UNKNOWN)
                n += (size_t)snprintf(out + n, size - n, ":?");
            else if (show & SHOW_PRICES)
                n += (size_t)snprintf(out + n, size - n, ":%.12g", (double)a.price_e9 / 1e9);
            if (m->symbol)
                n += (size_t)snprintf(out + n, size - n, "/%c", 'A' + m->symbol);
            if (a.k)
                n += (size_t)snprintf(out + n, size - n, "#%u", a.k);
        } else if (m->type == MSG_BAR && show & SHOW_BARS) {
            struct msg_bar b = msg_bar_get(m);
            n += (size_t)snprintf(out + n, size - n, "%s[%c %d %g/%g/%g/%g %" PRIu64 " %u r%u]", n ? " " : "",
                                  'A' + m->symbol, (int)((m->event_ns - T0) / MIN), (double)b.open_e9 / 1e9,
                                  (double)b.high_e9 / 1e9, (double)b.low_e9 / 1e9, (double)b.close_e9 / 1e9,
                                  b.volume, b.trades, b.revision);
        }
        assert_true(n < size);
    }
}

enum how { ALL, ONE, TWO, EVERY_SECOND, HOWS };

static void run_script(const char *name, const char *text, const char *expected, int show, enum how how)
{
    static const char *const hows[] = {"all in one call", "one in a call", "two in a call",
                                       "a CLOCK every second"};
    struct script s = {.every_second = how == EVERY_SECOND};
    struct bench b;
    char found[4000];
    script_parse(&s, text);
    bench_open(&b, NULL);
    bench_apply(&b, &s.tape, how == ONE ? 1 : how == TWO ? 2 : 0);
    events_text(&s, &b.events, show, found, sizeof found);
    if (engine_counters(b.e)->rules_refused || engine_counters(b.e)->settings_refused ||
        engine_counters(b.e)->rules_full)
        fail_msg("%s: %s", name, engine_refusal(b.e));
    if (strcmp(found, expected))
        fail_msg("%s (%s)\n  script   %s\n  found    %s\n  expected %s", name, hows[how], text, found,
                 expected);
    bench_close(&b);
    tape_free(&s.tape);
}

struct example {
    const char *name, *text, *expected;
};

static void run_table(const struct example *t, size_t n, int show)
{
    for (size_t i = 0; i < n; i++)
        for (enum how how = 0; how < HOWS; how++)
            run_script(t[i].name, t[i].text, t[i].expected, show, how);
}
#define RUN(table, show) run_table(table, sizeof table / sizeof *table, show)

static void test_level(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"fires at a trade where it is true, again when the cooldown has passed",
         "rule a 10 level : price > 10; t 0 A 9; t 1 A 11; t 5 A 11; t 10.999 A 12; t 11 A 12; t 12 A 9; t "
         "30 A 11",
         "a@1 a@11 a@30"},
        {"fires at a quote", "rule a 10 level : bid > 10; q 0 A 9 12; q 1 A 11 12; q 12 A 11 13", "a@1 a@12"},
        {"fires at a quote though only trades made it true",
         "rule a 10 level : price > 10; t 0 A 11; q 5 A 1 2; q 10 A 1 2", "a@0 a@10"},
        {"cooldown 0 fires at each message where it is true",
         "rule a 0 level : price > 10; t 0 A 11; t 1 A 12; t 2 A 9; t 3 A 10.5; q 4 A 1 2",
         "a@0 a@1 a@3 a@4"},
        {"cooldown 0 at equal times counts k",
         "rule a 0 level : price > 10; t 1 A 11; t 1 A 12; q 1 A 1 2; t 1 A 9; t 1 A 11; t 2 A 11",
         "a@1 a@1#1 a@1#2 a@1#3 a@2"},
        {"a time that steps back is the symbol's time",
         "rule a 0 level : price > 10; t 5 A 11; t 3 A 11; t 6 A 11", "a@5 a@5#1 a@6"},
        {"true within the cooldown, false when it ends, fires when it is true again",
         "rule a 10 level : price > 10; t 0 A 11; t 5 A 9; t 11 A 9; t 12 A 11", "a@0 a@12"},
        {"false and true within the cooldown waits for its end",
         "rule a 10 level : price > 10; t 0 A 11; t 1 A 9; t 2 A 11; t 9 A 11; t 10 A 11", "a@0 a@10"},
        {"at a CLOCK only where it became true by it",
         "rule a 0 level : volume_1m < 150; t 0 A 9 100; t 1 A 9 100; c 59 A; c 60 A; c 61 A; c 120 A",
         "a@0 a@60"},
        {"at a CLOCK within the cooldown it waits for a tick",
         "rule a 70 level : volume_1m < 150; t 0 A 9 100; t 1 A 9 100; c 60 A; c 75 A; c 120 A; q 130 A 1 2",
         "a@0 a@130"},
        {"a CLOCK that makes it false and true again is nothing by itself",
         "rule a 0 level : price > 10; t 0 A 11; c 60 A; c 120 A; c 180 A", "a@0"},
        {"unknown to true fires", "rule a 10 level : change_1m == 0; t 0 A 9; t 60 A 9", "a@60"},
        {"unknown is not true", "rule a 10 level : change_1m == 0; t 0 A 9; t 30 A 9", ""},
        {"not unknown is unknown", "rule a 10 level : not change_1m == 0; t 0 A 9; t 30 A 9", ""},
        {"unknown or true is true, unknown and true is not",
         "rule a 10 level : change_1m > 0 or price > 8; rule b 10 level : change_1m > 0 and price > 8; t 0 A "
         "9",
         "a@0"},
        {"several comparisons of a rule become true by one message",
         "rule a 10 level : price > 10 and volume_1m >= 200 and trade_count_1m == 2; t 0 A 9; t 1 A 11",
         "a@1"},
        {"symbols have cooldowns of their own",
         "rule a 10 level : price > 10; t 0 A 11; t 1 B 11; t 10 A 11; t 10 B 11; t 11 B 11",
         "a@0 a@1/B a@10 a@11/B"},
        {"!= is true on both sides", "rule a 0 level : price != 10; t 0 A 9; t 1 A 10; t 2 A 11; t 3 A 10",
         "a@0 a@2"},
        {"== is true in between",
         "rule a 0 level : price == 10; t 0 A 9; t 1 A 10; t 2 A 11; t 3 A 10; t 4 A 10.000000001",
         "a@1 a@3"},
        {"a jump over == is not it", "rule a 0 level : price == 10; t 0 A 9; t 1 A 11; t 2 A 9", ""},
        {">= and <= at the threshold",
         "rule a 0 level : price >= 10; rule b 0 level : price <= 10; t 0 A 10; t 1 A 9.999999999; t 2 A "
         "10.000000001",
         "a@0 b@0 b@1 a@2"},
        {"or of ranges",
         "rule a 0 level : price < 9 or price > 11; t 0 A 10; t 1 A 8; t 2 A 12; t 3 A 10; t 4 A 12",
         "a@1 a@2 a@4"},
        {"not of and",
         "rule a 0 level : not (price > 9 and price < 11); t 0 A 10; t 1 A 8; t 2 A 12; t 3 A 10", "a@1 a@2"},
        {"metric against metric",
         "rule a 0 level : price > ask; q 0 A 9 10; t 1 A 10; t 2 A 11; q 3 A 11 12; q 4 A 1 2", "a@2 a@4"},
        {"rules fire in the order of their slots",
         "rule b 0 level : price > 1; rule a 0 level : price > 5; rule c 0 level : volume_1m > 0; t 1 A 9",
         "b@1 a@1 c@1"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_cross(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"false to true fires", "rule a 0 cross : price > 10; t 0 A 9; t 1 A 11; t 2 A 12; t 3 A 9; t 4 A 11",
         "a@1 a@4"},
        {"unknown to true does not", "rule a 0 cross : price > 10; t 0 A 11; t 1 A 12; t 2 A 9; t 3 A 11",
         "a@3"},
        {"unknown, false, true does", "rule a 0 cross : change_1m > 0; t 0 A 9; t 60 A 9; t 61 A 10", "a@61"},
        {"inside the cooldown it is dropped",
         "rule a 10 cross : price > 10; t 0 A 9; t 1 A 11; t 2 A 9; t 3 A 11; t 11 A 12; t 12 A 9; t 13 A 11",
         "a@1 a@13"},
        {"the cooldown ends after its length",
         "rule a 10 cross : price > 10; t 0 A 9; t 1 A 11; t 2 A 9; t 11 A 11", "a@1 a@11"},
        {"at a quote", "rule a 0 cross : spread <= 0; q 0 A 9 10; q 1 A 10 10", "a@1"},
        {"at a CLOCK", "rule a 0 cross : volume_1m < 150; t 0 A 9 100; t 1 A 9 100; c 60 A", "a@60"},
        {"not at a CLOCK from unknown", "rule a 0 cross : close == 9; t 0 A 9; c 60 A", ""},
        {"k at equal times",
         "rule a 0 cross : price > 10; t 1 A 9; t 1 A 11; t 1 A 9; t 1 A 11; t 2 A 9; t 2 A 11",
         "a@1 a@1#1 a@2"},
        {"one comparison up, another down in one message is no crossing",
         "rule a 0 cross : price > 10 or volume_1m < 150; t 0 A 9 100; t 1 A 11 100; t 2 A 9 100; t 3 A 11",
         "a@3"},
        {"!= crosses", "rule a 0 cross : price != 10; t 0 A 10; t 1 A 11; t 2 A 9; t 3 A 10; t 4 A 9",
         "a@1 a@4"},
        {"a threshold passed twice by one rule",
         "rule a 0 cross : price > 10 and price < 20 or price > 30; t 0 A 25; t 1 A 35; t 2 A 25; t 3 A 15; "
         "t 4 A 5; t 5 A 40",
         "a@1 a@3 a@5"},
        {"again at the same time",
         "rule a 0 cross : price > 10; t 1 A 9; t 2 A 11; t 2 A 9; t 2 A 11; t 2 A 9; t 2 A 11; t 3 A 9;"
         " t 3 A 11",
         "a@2 a@2#1 a@2#2 a@3"},
        {"… with another symbol's in between",
         "rule a 0 cross : price > 10; t 1 A 9; t 1 B 9; t 2 A 11; t 2 B 11; t 2 A 9; t 2 B 9; t 2 A 11;"
         " t 2 B 11; t 2 A 9; t 2 A 11; t 3 B 9; t 3 B 11; t 3 A 9; t 3 A 11; t 3 B 9; t 3 B 11",
         "a@2 a@2/B a@2#1 a@2/B#1 a@2#2 a@3/B a@3 a@3/B#1"},
        {"… with another version since",
         "rule a 0 cross : price > 10; t 1 A 9; t 2 A 11; rule a 0 cross v=2 : price > 10.5; t 2 A 9;"
         " t 2 A 11; t 2 A 9; t 2 A 11; t 3 A 9; t 3 A 11",
         "a@2 a@2#1 a@2#2 a@3"},
        {"… of which the version before, with a cooldown, had one at that time",
         "rule b 0 cross : price > 20; rule a 10 cross : price > 10; t 0.1 A 9; t 0.2 A 21; t 0.3 A 9;"
         " t 13 A 11; rule a 0 cross v=2 : price > 10; t 13 A 9; t 13 A 11; t 14 A 9; t 14 A 11",
         "b@0.2 a@0.2 a@13 a@13#1 a@14"},
        {"a version with a cooldown counts it from the last alert of one without, if that is known",
         "rule a 0 cross : price > 10; t 1 A 9; t 2 A 11; rule a 10 cross v=2 : price > 10; t 3 A 9; t 4 A "
         "11;"
         " t 11 A 9; t 12 A 11",
         "a@2 a@12"},
        {"… and it is forgotten at the symbol's next message",
         "rule a 0 cross : price > 10; t 1 A 9; t 2 A 11; t 2.5 A 11; rule a 10 cross v=2 : price > 10;"
         " t 3 A 9; t 4 A 11",
         "a@2 a@4"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_arithmetic(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"+ and - of prices are exact", "rule a 0 level : bid + 0.1 == 0.3; q 0 A 0.2 1; q 1 A 0.3 1", "a@0"},
        {"numbers fold exactly", "rule a 0 level : bid == 0.1 + 0.2; q 0 A 0.3 1; q 1 A 0.300000001 1",
         "a@0"},
        {"a price less another", "rule a 0 level : ask - bid >= 0.5; q 0 A 9 9.499999999; q 1 A 9 9.5",
         "a@1"},
        {"both sides", "rule a 0 level : price - 1 > bid * 2; q 0 A 4 5; t 1 A 9; t 2 A 9.1", "a@2"},
        {"* before +, parentheses before both",
         "rule a 0 level : 2 + 3 * price == 32; rule b 0 level : (2 + 3) * price == 50; t 0 A 10; t 1 A 9",
         "a@0 b@0"},
        {"- and / take from the left",
         "rule a 0 level : price - 3 - 2 == 5; rule b 0 level : price / 5 / 2 == 1;"
         " t 0 A 10; t 1 A 9",
         "a@0 b@0"},
        {"unary minus",
         "rule a 0 level : -price < -10; rule b 0 level : - (price - 1) == --1 - 11; t 0 A 11; t 1 A 9",
         "a@0 b@0"},
        {"a percentage of a metric", "rule a 0 level : price > 1.01 * vwap(session); t 0 A 10 99; t 1 A 11 1",
         "a@1"},
        {"unknown stays it", "rule a 0 level : bid - bid == 0 or not bid * 0 == 0; t 0 A 9; q 1 A 1 2",
         "a@1"},
        {"a division by 0 is unknown",
         "rule a 0 level : 1 / (price - 9) > 0 or not 1 / (price - 9) > 0; t 0 A 9; t 1 A 8; t 2 A 9", "a@1"},
        {"a sum beyond a price is unknown",
         "rule a 0 level : ask + bid > 0; q 0 A 5000000000 5000000000; q 1 A 1 2", "a@1"},
        {"cross of a computed value",
         "rule a 0 cross : price - 2 * bid > 0; q 0 A 5 6; t 1 A 9; t 2 A 11; t 3 A 12;"
         " q 4 A 6 7; q 5 A 5 7",
         "a@2 a@5"},
        {"two metrics of one bar", "rule a 0 level : (high - low) / low > 0.1; t 0 A 10; t 1 A 12; c 60 A",
         "a@60"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_crossings(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"above: where it becomes so",
         "rule a 0 level : price crosses above 10; t 0 A 9; t 1 A 11; t 2 A 12; t 3 A 10;"
         " t 4 A 10.5",
         "a@1 a@4"},
        {"below", "rule a 0 level : price crosses below 10; t 0 A 11; t 1 A 10; t 2 A 9; t 3 A 8", "a@2"},
        {"a number crosses a metric", "rule a 0 level : 10 crosses below price; t 0 A 9; t 1 A 11; t 2 A 12",
         "a@1"},
        {"of two metrics",
         "rule a 0 level : price crosses above ask; q 0 A 9 10; t 1 A 10; t 2 A 11; q 3 A 9 12;"
         " q 4 A 9 10.5",
         "a@2 a@4"},
        {"from unknown is none", "rule a 0 level : price crosses above 10; t 0 A 11; t 1 A 9; t 2 A 11",
         "a@2"},
        {"with a condition, which holds at that evaluation or never",
         "rule a 0 level : price crosses above 10 and bid > 1; t 0 A 9; t 1 A 11; q 2 A 2 3; t 3 A 9; t 4 A "
         "11",
         "a@4"},
        {"or a condition",
         "rule a 0 level : price crosses above 10 or bid > 1; t 0 A 9; t 1 A 11; t 2 A 12; q 3 A 2 3",
         "a@1 a@3"},
        {"trigger cross: each is a new one",
         "rule a 0 cross : price crosses above 10 or price crosses above 11; t 0 A 9; t 1 A 10.5; t 2 A 12; "
         "t 3 A 13",
         "a@1 a@2"},
        {"within the cooldown it is lost",
         "rule a 10 level : price crosses above 10; t 0 A 9; t 1 A 11; t 2 A 9;"
         " t 3 A 11; t 12 A 12; t 13 A 9; t 14 A 11",
         "a@1 a@14"},
        {"at a CLOCK", "rule a 0 level : volume_1m crosses below 150; t 0 A 9 200; c 60 A; c 120 A", "a@60"},
        {"at a version's first evaluation nothing crosses",
         "rule a 0 level : price > 1000; t 0 A 9; rule a 0 level v=2 : price crosses above 10; t 1 A 11; t 2 "
         "A 9; t 3 A 11",
         "a@3"},
        {"other rules that come do not matter",
         "rule a 0 level : price crosses above 10; t 0 A 9; rule b 0 level : price > 1000; t 1 A 11; t 2 A "
         "12",
         "a@1"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_spans(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"within: a crossing's moment, for its time",
         "rule a 0 level : price crosses above 10 within 5s; t 0 A 9; t 1 A 11; t 2 A 9; t 5.9 A 9; t 6 A 9",
         "a@1 a@2 a@5.9"},
        {"within: a condition, and its time after it ceased",
         "rule a 0 level : price > 10 within 5s; t 0 A 11; t 3 A 9; t 7 A 9; t 8 A 9", "a@0 a@3 a@7"},
        {"within: a crossing with another condition",
         "rule a 0 level : price crosses above 10 within 5s and bid > 1; t 0 A 9; t 1 A 11; q 4 A 2 3; q 7 A "
         "2 3",
         "a@4"},
        {"within: of an or",
         "rule a 0 level : (price crosses above 10 or bid > 5) within 3s; t 0 A 9; q 1 A 6 7; q 3 A 4 5; q 5 "
         "A 4 5; q 6 A 4 5",
         "a@1 a@3 a@5"},
        {"within: it holds through and begins again",
         "rule a 0 cross : price > 10 within 2s; t 0 A 9; t 1 A 11; t 2 A 9; t 3 A 11; t 4 A 9; c 6 A; t 7 A "
         "11",
         "a@1 a@7"},
        {"within: not, at the clock by which it ends",
         "rule a 0 level : not (price > 10 within 5s); t 0 A 11; t 1 A 9; c 30 A; t 31 A 9", "a@6 a@31"},
        {"within: not, of a crossing",
         "rule a 0 cross : not (price crosses above 10 within 5s); t 0 A 9; t 1 A 11; c 30 A", "a@6"},
        {"within: unknown is no false", "rule a 0 level : not (bid > 1 within 5s); t 0 A 9; q 1 A 1 2",
         "a@1"},
        {"within: behind a while that was true",
         "rule a 0 level : price > 10 within 60s and bid > 1; t 0 A 11; t 200 A 9; q 259 A 2 3; q 260 A 2 3",
         "a@259"},
        {"for: now and at the ends before",
         "rule a 0 level : price > 10 for 3 bars; t 0 A 11; t 61 A 11; t 121 A 11; t 122 A 10", "a@121"},
        {"for: an end at which it was false",
         "rule a 0 level : price > 10 for 3 bars; t 0 A 11; t 1 A 9; t 61 A 9; t 62 A 11; t 121 A 11; t 181 "
         "A 11",
         "a@181"},
        {"for: what it was between ends is no matter",
         "rule a 0 level : price > 10 for 2 bars; t 0 A 9; t 1 A 11; t 61 A 9; t 62 A 11; t 63 A 9", "a@62"},
        {"for: by a CLOCK", "rule a 0 level : price > 10 for 3 bars; t 0 A 11; t 61 A 11; c 120 A", "a@120"},
        {"for: minutes without trades are no bars",
         "rule a 0 level : price > 10 for 3 bars; t 0 A 11; t 300 A 11; c 359 A; t 400 A 11", "a@400"},
        {"for: from what is not there nothing crosses",
         "rule a 0 cross : price > 10 for 2 bars; t 0 A 11; t 61 A 11; t 62 A 9; t 63 A 11", "a@63"},
        {"for: what was false before counts",
         "rule a 0 cross : price > 10 for 2 bars; t 0 A 9; t 1 A 11; t 61 A 11", "a@61"},
        {"for: unknown at an end",
         "rule a 0 level : bid > 1 for 2 bars; t 0 A 9; q 61 A 2 3; t 62 A 9; q 121 A 2 3; t 181 A 9",
         "a@121 a@181"},
        {"for: not",
         "rule a 0 level : not (price > 10 for 2 bars) and price > 10; t 0 A 9; t 1 A 11; t 61 A 11", "a@1"},
        {"for: longer bars",
         "rule a 0 level : price > 10 for 2 5m bars; t 0 A 11; t 61 A 11; t 299 A 11; t 301 A 11; t 302 A 9; "
         "t 599 A 11; t 601 A 11",
         "a@301 a@599 a@601"},
        {"nested",
         "rule a 0 level : (price crosses above 10 within 90s) for 2 bars; t 0 A 9; t 50 A 11; t 61 A 12; t "
         "130 A 12; t 141 A 12",
         "a@61 a@130"},
        {"one behind the other",
         "rule a 0 level : price > 10 for 2 bars within 30s; t 0 A 9; t 1 A 11; t 61 A 11; t 62 A 9; t 91 A "
         "9; t 92 A 9",
         "a@61 a@62 a@91"},
        {"for: bar_close",
         "rule a 0 bar_close : close > open for 2 bars; t 0 A 10; t 1 A 11; t 60 A 10; t 61 A 11; t 120 A "
         "10; t 121 A 9; c 180 A; t 181 A 9; t 182 A 10; c 240 A",
         "a@120"},
        {"within: bar_close",
         "rule a 0 bar_close : volume > 100 within 70s; t 0 A 10 200; t 60 A 10 1; t 120 A 10 1; t 180 A 10 "
         "1",
         "a@60 a@120"},
        {"a version begins anew",
         "rule a 0 level : price > 10 for 2 bars; t 0 A 11; t 61 A 11; rule a 0 level v=2 : price > 10 for 2 "
         "bars; t 62 A 11; t 121 A 11",
         "a@61 a@121"},
        {"other rules that come do not matter",
         "rule a 0 level : price > 10 for 2 bars; rule b 0 level : price < 9 within 30s; t 0 A 11; t 1 A 8; "
         "t 2 A 11; rule c 0 level : price > 1000 within 5s; t 61 A 11",
         "b@1 b@2 a@61"},
        {"of named symbols",
         "rule a 0 level sym=A : price > 10 within 5s; t 0 A 11; t 1 B 11; t 2 A 9; t 5 A 9; t 8 A 9",
         "a@0 a@2 a@5"},
        {"a late print crosses nothing",
         "rule a 0 level : trade_count_5m crosses above 2 within 50s; t 0 A 9; t 1 A 9; c 62 A; t 5 A 9; t "
         "63 A 9",
         ""},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_more_triggers(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"once: never again", "rule a 0 once : price > 10; t 0 A 9; t 1 A 11; t 2 A 12; t 3 A 9; t 4 A 11",
         "a@1"},
        {"once: per symbol", "rule a 0 once : price > 10; t 1 A 11; t 2 B 11; t 3 A 12; t 4 B 12",
         "a@1 a@2/B"},
        {"once: until the next version, whose cooldown counts",
         "rule a 5 once : price > 10; t 1 A 11; t 2 A 11; rule a 5 once v=2 : price > 9; t 3 A 11; t 6 A 11; "
         "t 20 A 11",
         "a@1 a@6"},
        {"once: another rule that comes is nothing to it",
         "rule a 0 once : price > 10; t 1 A 11; rule b 0 level : price > 1000; t 2 A 12; t 3 A 13", "a@1"},
        {"once_per_bar: once in a clock minute",
         "rule a 0 once_per_bar : price > 10; t 1 A 11; t 2 A 12; t 59.9 A 13; t 60 A 11; t 61 A 12",
         "a@1 a@60"},
        {"once_per_bar: the cooldown is longer",
         "rule a 90 once_per_bar : price > 10; t 1 A 11; t 60 A 11; t 91 A 11;"
         " t 125 A 11; t 181 A 11",
         "a@1 a@91 a@181"},
        {"bar_close: at the CLOCK that ends a bar",
         "rule a 0 bar_close : close > 10; t 0 A 11; t 1 A 12; c 59 A; c 60 A;"
         " c 61 A; c 120 A",
         "a@60"},
        {"bar_close: not where the bar ends false",
         "rule a 0 bar_close : price > 10; t 0 A 11; t 1 A 9; c 60 A; t 61 A 11;"
         " c 120 A",
         "a@120"},
        {"bar_close: before the symbol's own message of a later minute",
         "rule a 0 bar_close : price > 10; t 0 B 11; t 60.1 B 9; c 120.5 B", "a@60.1/B"},
        {"bar_close: the cooldown",
         "rule a 90 bar_close : price > 10; t 0 A 11; c 60 A; t 61 A 11; c 120 A; t 121 A 11;"
         " c 180 A",
         "a@60 a@180"},
        {"shadow: its alerts are marked",
         "rule a 0 level shadow : price > 10; rule b 0 level : price > 10; t 1 A 11", "~a@1 b@1"},
        {"shadow: of one version alone, and the cooldown goes on",
         "rule a 3 level shadow : price > 10; t 1 A 11; rule a 3 level v=2 : price > 10; t 2 A 11; t 4 A 11;"
         " rule a 3 level v=3 shadow : price > 10; t 5 A 11; t 8 A 11",
         "~a@1 a@4 ~a@8"},
        {"shadow: at a bar's end", "rule a 0 bar_close shadow : price > 10; t 0 A 11; c 60 A", "~a@60"},
        {"until: from then on never",
         "rule a 0 level until=3 : price > 10; rule b 0 cross until=3 : price > 10; t 1 A 9;"
         " t 2 A 11; t 2.999999999 A 12; t 3 A 12; t 4 A 9; t 5 A 11",
         "a@2 b@2 a@2.999999999"},
        {"sessions: held outside, at the next tick inside",
         "day 0 0 2 4 6; rule a 0 level in=4 : price > 10; rule b 0 cross in=4 : price > 10; t 0 A 9; t 1 A "
         "11;"
         " t 119 A 12; c 120 A; t 121 A 12; t 122 A 9; t 123 A 11; t 240 A 12; t 241 A 13",
         "a@121 a@123 b@123"},
        {"sessions: bar_close",
         "day 0 0 2 4 6; rule a 0 bar_close in=4 : price > 10; t 0 A 11; c 60 A; t 70 A 11; c 120 A;"
         " t 130 A 11; c 180 A; t 190 A 11; c 240 A",
         "a@120 a@180"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_late_prints(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"a late print fires nothing, changes no price",
         "rule a 0 level : price > 10; t 0 A 9; t 65 A 9; t 10 A 11; t 66 A 9", ""},
        {"a comparison that it flips takes its truth silently: level fires at the next tick",
         "rule a 0 level : volume_2m > 250; t 0 A 9; t 65 A 9; t 10 A 9; q 66 A 1 2", "a@66"},
        {"… cross has missed it",
         "rule a 0 cross : volume_2m > 250; t 0 A 9; t 65 A 9; t 10 A 9; q 66 A 1 2; t 67 A 9", ""},
        {"a print that is out of order and in time is like any other",
         "rule a 0 level : price > 10; rule b 0 cross : volume_2m > 250; t 0 A 9; t 60.5 A 9; t 59 A 11",
         "a@60.5 b@60.5"},
        {"the lateness is 1 s after the bar's end by the symbol's time",
         "rule a 0 level : price > 10; t 0 A 9; t 60.999999999 A 9; t 59 A 11; t 61 A 9; t 59 A 11",
         "a@60.999999999"},
        {"its bucket's CLOCK makes it late",
         "rule a 0 level : price > 10; t 0 A 9; c 61 A; t 59 A 11; t 59.5 A 11", ""},
        {"another bucket's does not", "rule a 0 level : price > 10; t 0 A 9; t 0 B 9; c 61.5 B; t 59 A 11",
         "a@59"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_rules_that_change(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"a new rule is first evaluated at the symbol's next message",
         "t 0 A 11; t 0 B 11; rule a 0 level : price > 10; c 1 A; c 2 A; t 5 A 11; t 6 B 12", "a@5 a@6/B"},
        {"a CLOCK, whatever it closes, is not that message",
         "t 0 A 11; rule a 0 level : price > 10; rule b 0 level : volume_1m < 1; c 60 A; c 61 A; c 120 A; q "
         "130 A 1 2; c 180 A",
         "a@130 b@130"},
        {"a new cross needs to be seen false first",
         "t 0 A 9; rule a 0 cross : price > 10; t 1 A 11; t 2 A 9; t 3 A 11", "a@3"},
        {"a new rule in a late print's message is evaluated silently",
         "t 0 A 9; t 65 A 11; rule a 0 level : price > 10; rule b 0 cross : volume_2m < 250; t 10 A 9; t 66 "
         "A 11",
         "a@66"},
        {"a version inherits the cooldown",
         "rule a 10 level : price > 10; t 0 A 11; rule a 10 level v=2 : price > 5; t 5 A 11; t 9 A 6; t 10 A "
         "6",
         "a@0 a@10"},
        {"… and its own length counts, shorter",
         "rule a 100 level : price > 10; t 0 A 11; rule a 10 level v=2 : price > 5; t 5 A 11; t 10 A 11; t "
         "15 A 11; t 20 A 11",
         "a@0 a@10 a@20"},
        {"… longer",
         "rule a 10 level : price > 10; t 0 A 11; rule a 20 level v=2 : price > 5; t 10 A 11; t 20 A 11",
         "a@0 a@20"},
        {"… forgotten at the first message at which the old one is over",
         "rule a 10 level : price > 10; t 0 A 11; t 11 A 9; rule a 100 level v=2 : price > 10; t 12 A 11",
         "a@0 a@12"},
        {"… and from cross to level at the same time",
         "rule a 0 cross : price > 10; t 0 A 9; t 1 A 11; rule a 0 level v=2 : price > 5; t 1 A 11",
         "a@1 a@1#1"},
        {"a version restarts its crossing",
         "rule a 0 cross : price > 10; t 0 A 9; rule a 0 cross v=2 : price > 10; t 1 A 11; t 2 A 9; t 3 A 11",
         "a@3"},
        {"a disabled version fires nothing, keeps the cooldown",
         "rule a 10 level : price > 10; t 0 A 11; rule a 10 level v=2 off : price > 10; t 11 A 11; rule a 10 "
         "level v=3 : price > 10; t 12 A 11; t 13 A 11",
         "a@0 a@12"},
        {"other rules do not notice: no second crossing, no second fire",
         "rule a 0 cross : price > 10; rule b 100 level : price > 10; t 0 A 9; t 1 A 11; rule c 0 level : "
         "price > 50; t 2 A 12; t 3 A 9; rule d 0 level : price > 50; t 4 A 11",
         "a@1 b@1 a@4"},
        {"a rule's metric is as if it had been there from the start",
         "t 0 A 10; t 60 A 20; t 120 A 30; rule a 0 level : ema(2)@1m == 25; rule b 0 level : sma(3)@1m == "
         "20; rule c 0 level : change_2m == 20;"
         "rule d 0 level : volume_3m == 400; t 121 A 30",
         "a@121 b@121 c@121 d@121"},
        {"symbols",
         "rule a 0 level sym=A,C : price > 10; rule b 0 level : price > 10; t 0 A 11; t 0 B 11; t 0 C 11",
         "a@0 b@0 b@0/B a@0/C b@0/C"},
        {"a symbol named twice is one", "rule a 0 level sym=A,A,,A : price > 10; t 0 A 11", "a@0"},
        {"a version for other symbols",
         "rule a 0 level sym=A : price > 10; t 0 A 11; t 0 B 11; rule a 0 level v=2 sym=B : price > 10; t 1 "
         "A 11; t 1 B 11",
         "a@0 a@1/B"},
        {"a metric of the market's rules and of a symbol's own moves once a minute",
         "rule a 0 level sym=A : sma(2)@1m == 25; rule b 0 level : sma(2)@1m == 25; rule c 0 level sym=A : "
         "rsi(2)@1m == 100; rule d 0 level : rsi(2)@1m < 60;"
         "t 0 A 10; t 60 A 20; t 120 A 30; t 180 A 15",
         "a@120 b@120 c@120 d@180"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_days_and_sessions(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"sessions follow the symbol's minute",
         "day 0 10 20 30 40; day 0 110 120 130 140; rule a 0 cross : session == \"premarket\"; rule b 0 "
         "cross : session == \"market\";"
         "rule c 0 cross : session == \"postmarket\"; rule d 0 cross : not session != \"closed\"; t 0 A 9; c "
         "600 A; c 1200 A; c 1800 A; c 2400 A; t 6600 A 9",
         "a@600 b@1200 c@1800 d@2400 a@6600"},
        {"a session's sums start anew with it, the day's go on",
         "day 0 0 20 30 40; rule a 0 level : vwap(session) == 20; rule b 0 level : volume_daily == 300; t 0 "
         "A 10; t 1200 A 20; t 1201 A 20",
         "a@1200 a@1201 b@1201"},
        {"a print of the session before counts for the day alone",
         "day 0 0 20 30 40; rule a 0 level : vwap(session) == 20; rule b 0 level : volume_daily == 300; t 0 "
         "A 10; t 1200 A 20; t 1199.9 A 90",
         "a@1200 a@1200#1 b@1200"},
        {"a daily bar in mid-stream counts from the next message",
         "rule a 0 level : change_from_close == 1; t 0 A 9; close A 8; q 1 A 1 2; t 2 A 9", "a@1 a@2"},
        {"… silently", "rule a 0 cross : change_from_close >= 1; close A 8.5; t 0 A 9; close A 8; t 1 A 9.5",
         ""},
        {"… silently, whatever other rules there are",
         "rule a 0 cross : change_from_close >= 1; close A 8.5; t 0 A 9; close A 8; rule b 0 level : price > "
         "100; t "
         "1 A 9.5",
         ""},
        {"change_from_close of yesterday's bar, then of the session that was",
         "close A 8; day 0 0 10 20 30; day 0 100 110 120 130; rule a 0 level : change_from_close == 1; t 0 A "
         "9; t 600 A 10; t 1199 A 11; t 1200 A 50; c 6000 A; t 6001 A 12",
         "a@0 a@6001"},
        {"a day without a trade in its market session has no close",
         "close A 8; day 0 0 10 20 30; day 0 100 110 120 130; rule a 0 level : change_from_close == 1; t 0 A "
         "20; c 6000 A; t 6001 A 9",
         "a@6001"},
        {"gap_from_close is the market session's first price against it",
         "close A 8; day 0 0 10 20 30; day 0 100 110 120 130; rule a 0 level : gap_from_close == 2; rule b 0 "
         "cross : gap_from_close_pct == 50;"
         "t 0 A 9; t 600 A 10; t 601 A 11; t 6000 A 16.5; t 6600 A 16.5",
         "a@600 a@601"},
        {"a crossing of a recursive metric restarts at the day's switch",
         "day 0 0 0 100 100; day 0 100 100 200 200; rule a 0 cross : ema(1)@1m > 10; rule b 0 cross : price "
         "> 10; t 0 A 9; t 6000 A 11; t 6001 A 9; t 6002 A 11",
         "b@6000 a@6002 b@6002"},
        {"… and only at it",
         "day 0 0 0 100 100; day 0 100 100 200 200; rule a 0 cross : ema(1)@1m > 10; t 0 A 9; c 6000 A; t "
         "6100 A 11",
         "a@6100"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_attributes(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"texts and numbers, whether the rule or the symbol comes first",
         "attr A sector=Energy exchange=NYSE market_cap=2e9; rule a 0 level : sector == \"Energy\" and "
         "market_cap > 1e9 and not exchange == \"OTC\"; attr B sector=Energy exchange=OTC market_cap=2e9; t "
         "0 A "
         "9; t 1 B 9; attr C sector=Utilities exchange=NYSE market_cap=2e9; t 2 C 9",
         "a@0"},
        {"a text that no symbol has is false, its opposite true",
         "attr A sector=Energy; rule a 0 level : sector == \"Nobody\"; rule b 0 level : sector != "
         "\"Nobody\"; t "
         "0 A 9",
         "b@0"},
        {"what is not known is unknown, through not",
         "attr A sector=Energy; rule a 0 level : exchange != \"OTC\" or float > 0; rule b 0 level : not "
         "shares_short > 5; t 0 A 9; t 1 B 9",
         ""},
        {"one text is one number in every attribute",
         "attr A sector=X exchange=X; rule a 0 level : sector == \"X\" and exchange == \"X\"; t 0 A 9",
         "a@0"},
        {"new attributes replace all of the old ones",
         "attr A sector=X float=5; rule a 0 level : sector == \"X\"; rule b 0 level : float == 5; t 0 A 9; "
         "attr A "
         "float=5; t 1 A 9",
         "a@0 b@0 b@1"},
        {"they count from the next message, silently",
         "rule a 0 level : sector == \"X\"; rule b 0 cross : not sector != \"X\"; attr A sector=Y; t 0 A 9; "
         "attr "
         "A sector=X; t 1 A 9; attr A sector=Y; t 2 A 9; attr A sector=X; q 3 A 1 2",
         "a@1 a@3"},
        {"… whatever rules have come before them",
         "attr A sector=Y; rule a 0 level : sector == \"X\"; t 0 A 9; rule b 0 level : price > 100 or sector "
         "== "
         "\"Z\"; attr A sector=X; t 1 A 9",
         "a@1"},
        {"… and a condition in a span lasts until they come",
         "attr A sector=X; rule a 0 level : sector == \"X\" within 10s; t 0 A 9; c 100 A; attr A sector=Y; t "
         "109 "
         "A 9; t 111 A 9",
         "a@0 a@109"},
        {"news_age in minutes, from the news on, while a session is open",
         "day 0 0 10 20 30; attr A news_at=60; rule a 0 level : news_age >= 1; rule b 600 level : news_age < "
         "1; t "
         "0 A 9; t 59 A 9; t 60 A 9; c 120 A; t 150 A 9; t 1900 A 9",
         "b@60 a@120 a@150"},
        {"earnings_in in days, up to them",
         "day 0 0 10 20 30; attr A earnings_at=864; rule a 0 level : earnings_in <= 0.005; t 0 A 9; c 432 A; "
         "t 864 "
         "A 9; t 865 A 9",
         "a@432 a@864"},
    };
    RUN(t, SHOW_ALERTS);
}

static void test_texts_of_alerts(void **state)
{
    (void)state;
    struct script s = {0};
    struct bench b;
    char longest[ATTRIBUTE_TEXT_MAX + 1] = "", expr[2000], line[2400], text[2 * ATTRIBUTE_TEXT_MAX + 1] = "";
    memset(longest, 'x', ATTRIBUTE_TEXT_MAX);
    int n = sprintf(expr, "exchange != \"A\" and sector != \"A\"");
    for (int i = 1; i <= ALERT_OPERANDS_MAX - 2; i++)
        n += sprintf(expr + n, " and not volume_%dm < 0", i);
    sprintf(line, "rule a 0 level : %s; attr A sector=%.30s exchange=NYSE; t 0 A 9", expr, longest);
    script_parse(&s, line);
    struct attributes a; /* no script has room for them */
    attributes_clear(&a);
    assert_true(attribute_set_text(&a, ATTRIBUTE_SECTOR, longest, ATTRIBUTE_TEXT_MAX));
    assert_true(attribute_set_text(&a, ATTRIBUTE_EXCHANGE, "y", 1));
    put_attributes(&s.tape, 0, &a);
    put_trade(&s.tape, 0, T0 + SEC, PX(9), 1);
    tape_stamp(&s.tape, 1);
    bench_open(&b, NULL);
    bench_apply(&b, &s.tape, 0);
    const struct msg *m = b.events.slot, *second = m + msg_slot_count(m);
    const size_t at = sizeof(struct msg_alert) + 8 * ALERT_OPERANDS_MAX;
    assert_int_equal(b.events.n, msg_slot_count(m) + msg_slot_count(second));
    assert_int_equal(msg_slot_count(second), msg_slots(at + 64));
    assert_int_equal(alert_operand(m, 0), 4); /* in the order of the operands */
    assert_int_equal(alert_operand(m, 1), 30);
    msg_get(m, at, text, 34);
    assert_memory_equal(text, "NYSExxx", 7);
    assert_int_equal(alert_operand(second, 0), 1);
    assert_int_equal(alert_operand(second, 1), ATTRIBUTE_TEXT_MAX);
    msg_get(second, at, text, 64);
    assert_int_equal(text[0], 'y');
    assert_memory_equal(text + 1, longest, ATTRIBUTE_TEXT_MAX);
    bench_close(&b);
    tape_free(&s.tape);
}

static void test_bars(void **state)
{
    (void)state;
    static const struct example t[] = {
        {"final 1 s after its end, by a tick",
         "t 0 A 10; t 30 A 12; t 59 A 9; t 60 A 50; t 60.9 A 50; t 61 A 50", "[A 0 10/12/9/9 300 3 r0]"},
        {"… by a CLOCK", "t 0 A 10; c 60 A; c 61 A; c 62 A", "[A 0 10/10/10/10 100 1 r0]"},
        {"… by a CLOCK though its minute began with quotes", "q 0 A 9 10; c 1 A; t 2 A 10; c 61 A",
         "[A 0 10/10/10/10 100 1 r0]"},
        {"no bar for a minute without a trade", "t 0 A 10; c 61 A; c 121 A; c 181 A; t 240 A 10; c 301 A",
         "[A 0 10/10/10/10 100 1 r0] [A 4 10/10/10/10 100 1 r0]"},
        {"out of order in time: joins, close by arrival", "t 0 A 10; t 60 A 20; t 59 A 15; t 61 A 20",
         "[A 0 10/15/10/15 200 2 r0]"},
        {"late: revised, by number, never split", "t 0 A 10; t 70 A 20; t 1 A 12; t 2 A 8; t 3 A 9",
         "[A 0 10/10/10/10 100 1 r0] [A 0 10/12/10/12 200 2 r1] [A 0 10/12/8/8 300 3 r2] [A 0 10/12/8/9 400 "
         "4 r3]"},
        {"late into a minute that had no bar", "t 0 A 10; t 130 A 20; t 61 A 12; t 62 A 13; c 181 A",
         "[A 0 10/10/10/10 100 1 r0] [A 1 12/12/12/12 100 1 r0] [A 1 12/13/12/13 200 2 r1] [A 2 20/20/20/20 "
         "100 1 r0]"},
        {"out of order and in time into a minute that had no bar",
         "t 0 A 10; t 120.5 A 20; t 119 A 12; t 121 A 21; c 181 A",
         "[A 0 10/10/10/10 100 1 r0] [A 1 12/12/12/12 100 1 r0] [A 2 20/21/20/21 200 2 r0]"},
        {"before the first bar there was", "t 300 A 10; t 0 A 20; t 361 A 10",
         "[A 0 20/20/20/20 100 1 r0] [A 5 10/10/10/10 100 1 r0]"},
        {"buckets close by themselves", "t 0 A 10; t 0 B 10; c 61 A; c 61.5 B",
         "[A 0 10/10/10/10 100 1 r0] [B 0 10/10/10/10 100 1 r0]"},
        {"several bars become final by one tick", "t 0 A 10; t 59.5 A 11; t 60 A 12; t 200 A 13",
         "[A 0 10/11/10/11 200 2 r0] [A 1 12/12/12/12 100 1 r0]"},
        {"lateness of its own",
         "set bars.lateness_ms=10000; t 0 A 10; t 60 A 20; t 69 A 30; t 50 A 40; t 70 A 20; t 51 A 50",
         "[A 0 10/40/10/40 200 2 r0] [A 0 10/50/10/50 300 3 r1]"},
        {"less lateness makes final what waited",
         "set bars.lateness_ms=100000; t 0 A 10; t 60 A 20; t 130 A 30; set bars.lateness_ms=0; t 61 A 40; t "
         "131 A 50",
         "[A 0 10/10/10/10 100 1 r0] [A 1 20/20/20/20 100 1 r0] [A 1 20/40/20/40 200 2 r1]"},
        {"more lateness does not open what is final",
         "t 0 A 10; t 60 A 20; t 121 A 30; set bars.lateness_ms=100000; t 1 A 11; t 61 A 21; t 180 A 40; t "
         "300 A 1",
         "[A 0 10/10/10/10 100 1 r0] [A 1 20/20/20/20 100 1 r0] [A 0 10/11/10/11 200 2 r1] [A 1 20/21/20/21 "
         "200 2 r1] [A 2 30/30/30/30 100 1 r0]"},
        {"prices at the ends of their range", "t 0 A 0.000000001; t 1 A 9223372036; c 61 A",
         "[A 0 1e-09/9.22337e+09/1e-09/9.22337e+09 200 2 r0]"},
    };
    RUN(t, SHOW_BARS);
}

/* The definition of triggers (design, Engine), sentence by sentence. */
struct trigger_case {
    const char *name;
    const char *rule;     /* COOLDOWN_S level|cross [sym=…] : EXPRESSION, of rule `a` */
    const char *messages; /* may start with more rules */
    const char *fires;    /* a@time:price#k */
};

static void test_triggers(void **state)
{
    (void)state;
    static const struct trigger_case t[] = {
        /* level fires at a TRADE or QUOTE of the symbol exactly when the expression is true … */
        {"level: at a TRADE", "0 level : price > 10", "t 0 A 9; t 1.5 A 11; t 2 A 10", "a@1.5:11"},
        {"level: at a QUOTE, made true by it", "0 level : spread <= 0.5",
         "t 0 A 9; q 1 A 9 10; q 2 A 9 9.5; q 3 A 9 9.75", "a@2:9"},
        {"level: at a QUOTE before there is a price", "0 level : ask < 10 and bid >= 9", "q 1 A 9 9.5",
         "a@1:?"},
        {"level: at a QUOTE, true since a TRADE", "10 level : price > 10", "t 0 A 11; q 9 A 1 2; q 10 A 1 2",
         "a@0:11 a@10:11"},
        {"level: at a TRADE, true since a QUOTE", "10 level : bid > 10", "q 0 A 11 12; t 10 A 9",
         "a@0:? a@10:9"},
        {"level: from unknown", "0 level : change_1m > 0", "t 0 A 9; t 59 A 10; t 60 A 11", "a@60:11"},
        {"level: another symbol's message is none of its own", "0 level : price > 10", "t 0 A 11; t 1 C 9",
         "a@0:11"},
        /* … and at least the cooldown has passed since its last fire there; */
        {"cooldown: at its end, not 1 ns before", "10 level : price > 10",
         "t 0 A 11; t 9.999999999 A 12; t 10 A 13", "a@0:11 a@10:13"},
        {"cooldown: not rewound by what fires not", "10 level : price > 10",
         "t 0 A 11; t 4 A 12; t 8 A 13; t 12 A 14", "a@0:11 a@12:14"},
        {"cooldown: falls and rises within it", "10 level : price > 10",
         "t 0 A 11; t 1 A 9; t 2 A 12; t 3 A 9; t 4 A 13; t 10 A 14", "a@0:11 a@10:14"},
        {"cooldown: false at its end", "10 level : price > 10", "t 0 A 11; t 9 A 12; t 10 A 9; t 11 A 12",
         "a@0:11 a@11:12"},
        {"cooldown: by the symbol's time, which its bucket's CLOCK brings", "10 level : price > 10",
         "t 0 A 11; c 10 A; t 3 A 12", "a@0:11 a@10:12"},
        {"cooldown: another bucket's CLOCK does not", "10 level : price > 10",
         "t 0 A 11; t 0 B 9; c 10.5 B; t 3 A 12; t 9 B 11", "a@0:11 a@10.5:11/B"},
        {"cooldown: per symbol", "10 level : price > 10", "t 0 A 11; t 5 C 12; t 10 A 13; t 10 C 14",
         "a@0:11 a@5:12/C a@10:13"},
        {"cooldown: a year", "31536000 level : price > 10", "t 0 A 11; t 31535999 A 11; t 31536000 A 12",
         "a@0:11 a@31536000:12"},
        {"cooldown 0: at every message, k counts equal times", "0 level : price > 10",
         "t 1 A 11; t 1 A 12; q 1 A 9 10; t 1 A 9; t 1 A 13; t 2 A 14",
         "a@1:11 a@1:12#1 a@1:12#2 a@1:13#3 a@2:14"},
        /* at a CLOCK only where the expression became true by it. */
        {"level: a CLOCK makes it true", "0 level : volume_1m < 150", "t 0 A 9 200; c 59 A; c 60 A",
         "a@60:9"},
        {"level: … from unknown", "0 level : close == 9", "t 0 A 9; c 60 A; c 61 A", "a@60:9"},
        {"level: it stays true at a CLOCK", "0 level : volume_1m < 150", "t 0 A 9 100; c 60 A; c 120 A",
         "a@0:9"},
        {"level: a CLOCK and a TRADE of its time", "0 level : volume_1m < 150",
         "t 0 A 9 200; c 60 A; t 60 A 8 1; t 60 A 7 200", "a@60:9 a@60:8#1"},
        {"level: true by a CLOCK, false, true by a CLOCK", "0 level : volume_1m < 150",
         "t 0 A 9 200; c 60 A; t 61 A 8 200; c 120 A", "a@60:9 a@120:8"},
        {"level: true by a CLOCK within the cooldown, later by a tick", "100 level : volume_1m < 150",
         "t 0 A 9 100; t 1 A 8 100; c 60 A; c 120 A; c 180 A; q 181 A 1 2", "a@0:9 a@181:8"},
        {"level: true by a CLOCK after the cooldown", "30 level : volume_1m < 150",
         "t 0 A 9 100; t 1 A 8 100; c 29 A; c 30 A; c 60 A", "a@0:9 a@60:8"},
        {"a CLOCK over several minutes: true in one of them only",
         "0 level : volume_3m < 250 and volume_3m > 150", "t 0 A 9; t 60 A 9; t 120 A 9; c 400 A",
         "a@60:9 a@180:9"},
        {"a CLOCK over several minutes: two crossings in them",
         "0 cross : volume_1m > 0 or volume_3m < 150 and volume_3m > 50 or volume_4m == 0",
         "t 0 A 9 200; t 60 A 8 100; c 360 A", "a@180:8 a@300:8"},
        /* cross fires on false -> true (unknown -> true does not) … */
        {"cross: false to true", "0 cross : price > 10", "t 0 A 9; t 1 A 11; t 2 A 12", "a@1:11"},
        {"cross: unknown to true", "0 cross : price > 10", "t 0 A 11; t 1 A 9; t 2 A 12", "a@2:12"},
        {"cross: false, unknown, true", "0 cross : vwap_live > 10",
         "t 0 A 9; c 60 A; t 61 A 11; c 120 A; t 121 A 9; t 122 A 90", "a@122:90"},
        {"cross: at a QUOTE", "0 cross : spread < 0", "q 0 A 9 10; q 1 A 10 9; q 2 A 11 9; t 3 A 1", "a@1:?"},
        {"cross: at a CLOCK", "0 cross : volume_1m < 150", "t 0 A 9 200; c 59 A; c 60 A; c 120 A", "a@60:9"},
        {"cross: at a CLOCK from unknown", "0 cross : close == 9", "t 0 A 9; c 60 A; t 61 A 9", ""},
        {"cross: k", "0 cross : price > 10", "t 1 A 9; t 1 A 11; t 1 A 9; t 1 A 12; t 2 A 9; t 2 A 13",
         "a@1:11 a@1:12#1 a@2:13"},
        /* … and is dropped inside the cooldown. */
        {"cross: dropped, and not fired when the cooldown ends", "10 cross : price > 10",
         "t 0 A 9; t 1 A 11; t 2 A 9; t 3 A 12; t 11 A 13; q 12 A 1 2; c 60 A", "a@1:11"},
        {"cross: what is dropped does not prolong it", "10 cross : price > 10",
         "t 0 A 9; t 1 A 11; t 2 A 9; t 10.9 A 12; t 10.95 A 9; t 11 A 13", "a@1:11 a@11:13"},
        {"cross: dropped at a CLOCK", "100 cross : volume_1m < 150",
         "t 0 A 9 200; c 60 A; t 61 A 8 200; c 120 A; t 121 A 7 200; c 180 A", "a@60:9 a@180:7"},
        /* Missing values are unknown: through not, and, or. */
        {"not unknown", "0 level : not change_1m > 0", "t 0 A 9; t 60 A 9", "a@60:9"},
        {"unknown or true, unknown or false", "0 level : change_1m > 0 or price > 10",
         "t 0 A 9; t 1 A 11; t 2 A 9", "a@1:11"},
        {"cross: unknown or true, to known or true", "0 cross : change_1m > 0 or price > 10",
         "t 0 A 11; t 60 A 12", ""},
        {"cross: unknown or false is unknown", "0 cross : change_1m > 0 or price > 10", "t 0 A 9; t 1 A 11",
         ""},
        {"cross: unknown and false is false", "0 cross : change_1m > 0 and price > 10", "t 0 A 9; t 60 A 11",
         "a@60:11"},
        {"cross: unknown and true is unknown", "0 cross : change_1m > 0 and price > 10",
         "t 0 A 11; t 60 A 12", ""},
        {"cross: not (unknown or true) is false", "0 cross : not (change_1m > 100 or price < 10)",
         "t 0 A 9; t 60 A 11", "a@60:11"},
        {"cross: not (unknown and true) is unknown", "0 cross : not (change_1m > 100 and price > 10)",
         "t 0 A 11; t 60 A 11", ""},
        {"unknown != c, unknown == c", "0 level : bid != 1 or bid == 1", "t 0 A 9; q 1 A 1 2; q 2 A 2 3",
         "a@1:9 a@2:9"},
        {"unknown against a metric", "0 level : price > ask or price <= ask", "t 0 A 9; q 1 A 1 9; t 2 A 10",
         "a@1:9 a@2:10"},
        /* Thresholds. */
        {"==", "0 level : price == 10",
         "t 0 A 9.999999999; t 1 A 10; t 2 A 10.000000001; t 3 A 10; t 4 A 9; t 5 A 11", "a@1:10 a@3:10"},
        {"!=", "0 level : price != 10",
         "t 0 A 9.999999999; t 1 A 10; t 2 A 10.000000001; t 3 A 10; t 4 A 9; t 5 A 11",
         "a@0:9.999999999 a@2:10.000000001 a@4:9 a@5:11"},
        {"cross of ==: from below, from above, by jumps not", "0 cross : price == 10",
         "t 0 A 9; t 1 A 10; t 2 A 11; t 3 A 10; t 4 A 10; t 5 A 9; t 6 A 11", "a@1:10 a@3:10"},
        {"cross of !=", "0 cross : price != 10", "t 0 A 10; t 1 A 11; t 2 A 9; t 3 A 10; t 4 A 9",
         "a@1:11 a@4:9"},
        {"> and >= of a double", "0 level : volume_live >= 200 and not volume_live > 200",
         "t 0 A 9 199; t 1 A 8 1; t 2 A 7 1", "a@1:8"},
        {"== of a size with decimals", "0 level : volume_live == 1.1", "t 0 D 9 109; t 1 D 8 1; t 2 D 7 1",
         "a@1:8/D"},
        /* A new rule or version is first evaluated at the symbol's next message; … */
        {"new: not at a CLOCK, though that makes it true", "0 level : price > 100",
         "t 0 A 11 200; rule b 0 level : volume_1m < 150; c 60 A; c 61 A; q 62 A 1 2", "b@62:11"},
        {"new: cross sees its first value there", "0 level : price > 100",
         "t 0 A 9; rule b 0 cross : price > 10; t 1 A 11; t 2 A 9; t 3 A 12", "b@3:12"},
        {"new: nor does a CLOCK give it one", "0 level : price > 100",
         "t 0 A 9 200; rule b 0 cross : volume_1m < 150; c 60 A; t 61 A 9 200; c 120 A", "b@120:9"},
        {"new: an old rule's CLOCK is its own", "0 cross : volume_1m < 150",
         "t 0 A 9 200; rule b 0 level : price > 100; c 60 A", "a@60:9"},
        {"new: two at once", "0 level : price > 10",
         "t 0 A 11; rule b 0 level : price > 5; rule c 0 level sym=A : price > 6; t 1 A 12",
         "a@0:11 a@1:12 b@1:12 c@1:12"},
        {"new: for each symbol when it speaks", "100 level : price > 10",
         "t 0 A 9; t 0 C 9; rule b 100 level : price < 10; t 5 C 9; t 7 A 9", "b@5:9/C b@7:9"},
        /* … a version inherits the cooldown. */
        {"version: within it", "10 level : price > 10",
         "t 0 A 11; rule a 10 level v=2 : price > 5; t 9 A 12; t 10 A 13", "a@0:11 a@10:13"},
        {"version: cross within it is dropped", "10 cross : price > 10",
         "t 0 A 9; t 1 A 11; rule a 10 cross v=2 : price > 10; t 2 A 9; t 3 A 12; t 4 A 9; t 11 A 13",
         "a@1:11 a@11:13"},
        {"version: disabled, then enabled", "10 level : price > 10",
         "t 0 A 11; rule a 10 level v=2 off : price > 10; t 1 A 12; rule a 10 level v=3 : price > 10; t 2 A "
         "13; t 10 A 14",
         "a@0:11 a@10:14"},
        {"version: the one before is gone", "0 level : price > 10",
         "t 0 A 11; rule a 0 level v=2 : price < 10; t 1 A 11; t 2 A 9", "a@0:11 a@2:9"},
        {"disabled", "0 level off : price > 10", "t 0 A 11; q 1 A 1 2; c 60 A", ""},
        {"disabled cross", "0 cross off : price > 10", "t 0 A 9; t 1 A 11", ""},
        /* Late prints never fire, nor change the price; a comparison that they flip takes its truth silently.
         */
        {"late: no fire, no price", "0 level : price > 10", "t 0 A 9; c 61 A; t 1 A 11; q 62 A 1 2", ""},
        {"late: nor what holds already", "0 level : price > 8", "t 0 A 9; c 61 A; t 1 A 11; t 62 A 10",
         "a@0:9 a@62:10"},
        {"late: level at the next tick", "0 level : volume_2m >= 200", "t 0 A 9; c 61 A; t 1 A 9; q 62 A 1 2",
         "a@62:9"},
        {"late: … not at the next CLOCK", "0 level : volume_3m >= 200", "t 0 A 9; c 61 A; t 1 A 9; c 120 A",
         ""},
        {"late: cross has missed it", "0 cross : volume_3m >= 200",
         "t 0 A 9; c 61 A; t 1 A 9; t 62 A 8; c 180 A; t 181 A 7", "a@181:7"},
        {"late: false by it, true again by a tick", "0 cross : volume_2m < 200",
         "t 0 A 9 300; c 61 A; t 61 A 8; t 1 A 9; c 120 A", "a@120:8"},
        /* A print that is out of order and in time is one as any other. */
        {"provisional: fires, with its price, at the symbol's time", "0 level : price > 10",
         "t 0 A 9; t 60.5 A 9; t 59 A 11", "a@60.5:11"},
        {"provisional: moves the last bar's close", "0 cross : close > 10",
         "t 0 A 9; t 60 A 9; t 59.5 A 11; t 61 A 9", "a@60:11"},
        {"provisional: into a minute without a bar", "0 cross : close > 10",
         "t 0 A 9; c 60.5 A; t 120 A 9; t 119 A 11", "a@120:11"},
        /* A symbol's time never steps back. */
        {"time: an older event", "0 level : price > 10", "t 5 A 9; t 3 A 11; t 4 A 12; t 5 A 13; t 6 A 14",
         "a@5:11 a@5:12#1 a@5:13#2 a@6:14"},
        {"time: an older event after a CLOCK", "0 level : price > 10", "t 5 A 9; c 30 A; t 7 A 11",
         "a@30:11"},
        {"time: an older QUOTE", "0 level : bid > 10", "q 5 A 9 10; q 3 A 11 12", "a@5:?"},
        {"time: an older CLOCK", "0 level : price > 10", "c 30 A; t 5 A 9; c 7 A; t 8 A 11", "a@30:11"},
        /* Lists of symbols, and the order of what one message fires. */
        {"symbols: these alone", "0 level sym=A,C : price > 10", "t 0 A 11; t 1 B 12; t 2 C 13; t 3 D 14",
         "a@0:11 a@2:13/C"},
        {"symbols: of which none is known", "0 level sym=X,Y : price > 10", "t 0 A 11", ""},
        {"symbols: a prefix is not the name", "0 level sym=AA,BA : price > 10", "t 0 A 11; t 1 B 11", ""},
        {"symbols: cross at a CLOCK", "0 cross sym=C : volume_1m < 150", "t 0 A 9 200; t 0 C 9 200; c 60 A",
         "a@60:9/C"},
        {"order of slots, whatever flips first", "0 level : volume_live > 50",
         "rule b 0 cross : price > 20; rule c 0 level sym=A : price > 5; rule d 0 level : price > 10; t 0 A "
         "1 10; t 1 A 30 90",
         "a@1:30 b@1:30 c@1:30 d@1:30"},
        {"order of slots: a version takes its new slot", "0 level : price > 1",
         "rule b 0 level : price > 2; rule a 0 level v=2 : price > 1; t 0 A 9", "b@0:9 a@0:9"},
    };
    char text[1000];
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        snprintf(text, sizeof text, "rule a %s; %s", t[i].rule, t[i].messages);
        for (enum how how = 0; how < HOWS; how++)
            run_script(t[i].name, text, t[i].fires, SHOW_ALERTS | SHOW_PRICES, how);
    }
}

/* xxh3_128 of: rule id, 0, version, symbol, 0, symbol's time, k. The first is also pinned: ids are in
 * journals. */
static void test_alert_id(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned nth;
        const char *rule, *symbol;
        uint32_t version;
        double time;
        uint32_t k;
    } t[] = {
        {"rule a 0 level : price > 10; t 1 A 11", 0, "a", "A", 1, 1, 0},
        {"rule x 0 level : price > 50; rule a 0 level v=7 : price > 10; t 0 C 9; c 5 C; t 1 C 11; t 1 C 12",
         1, "a", "C", 7, 5, 1},
        {"rule a 0 level v=2 : volume_1m < 150; t 0 B 11 200; c 200.5 B", 0, "a", "B", 2, 60.5, 0},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        for (enum how how = 0; how < HOWS; how++) {
            struct script s = {.every_second = how == EVERY_SECOND};
            struct bench b;
            struct msg_alert a = {0};
            unsigned found = 0;
            script_parse(&s, t[i].text);
            bench_open(&b, NULL);
            bench_apply(&b, &s.tape, how == ONE);
            for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at]))
                if (b.events.slot[at].type == MSG_ALERT && found++ == t[i].nth)
                    alert_head(&b.events.slot[at], &a);
            assert_true(found > t[i].nth);
            uint8_t key[64], *p = key;
            int64_t time = T0 + PX(t[i].time);
            p = (uint8_t *)stpcpy((char *)p, t[i].rule) + 1;
            memcpy(p, &t[i].version, 4);
            p = (uint8_t *)stpcpy((char *)p + 4, t[i].symbol) + 1;
            memcpy(p, &time, 8);
            memcpy(p + 8, &t[i].k, 4);
            XXH128_hash_t id = XXH3_128bits(key, (size_t)(p + 12 - key));
            assert_int_equal(a.id_hi, id.high64);
            assert_int_equal(a.id_lo, id.low64);
            if (i == 0)
                assert_true(a.id_hi == UINT64_C(0x3623b35cb3bb53b1) &&
                            a.id_lo == UINT64_C(0xad1ff733ce7cf275));
            bench_close(&b);
            tape_free(&s.tape);
        }
}

/* ---- room: what a call may emit at once, and every way to split it */

/* Takes the events away only where the engine has no more room: every step is taken as full as it may be. */
static void apply_packed(struct bench *b, const struct tape *t)
{
    for (size_t at = 0; at < t->n;) {
        size_t done = engine_apply(b->e, t->slot + at, t->n - at, &b->out);
        at += done;
        if (at < t->n && done == 0) {
            bench_collect(b);
        }
    }
    bench_collect(b);
}

/* A tape's events in calls of `batch` records, or packed, with `more` slots beside the least capacity. */
static struct tape events_of(const struct engine_limits *l, const struct tape *t, bool packed, size_t batch,
                             uint32_t more, struct engine_counters *counters)
{
    struct bench b;
    bench_open(&b, l);
    munmap(b.out.slot, b.out.capacity * sizeof *b.out.slot);
    b.out.capacity = engine_out_capacity(l) + more;
    b.out.slot = zeroed(b.out.capacity * sizeof *b.out.slot);
    if (packed)
        apply_packed(&b, t);
    else
        bench_apply(&b, t, batch);
    *counters = *engine_counters(b.e);
    struct tape events = b.events;
    b.events = (struct tape){0};
    bench_close(&b);
    return events;
}

/* The same events however the tape is split and however much room there is. Returns the counters. */
static struct engine_counters same_events(const struct engine_limits *l, struct tape *t)
{
    static const struct {
        bool packed;
        size_t batch;
        uint32_t more;
    } ways[] = {{false, 1, 0}, {false, 3, 0}, {true, 0, 0}, {true, 0, 1}, {true, 0, 117}, {true, 0, 20000}};
    struct engine_counters first, c;
    tape_stamp(t, 1);
    struct tape whole = events_of(l, t, false, 0, 200000, &first);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct tape events = events_of(l, t, ways[i].packed, ways[i].batch, ways[i].more, &c);
        assert_int_equal(events.n, whole.n);
        assert_memory_equal(events.slot, whole.slot, whole.n * sizeof *whole.slot);
        assert_memory_equal(&c, &first, sizeof c);
        tape_free(&events);
    }
    tape_free(&whole);
    return first;
}

static void put_symbols(struct tape *t, uint32_t n, bool one_bucket)
{
    for (uint32_t i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof name, "S%u", i);
        put_symbol(t, i, name, one_bucket ? 7 : i % BUCKET_COUNT, 0, 0);
    }
}

/* With an hour of lateness a jump makes 61 bars of a symbol final by one message, here of 50 symbols in a
 * row. */
static void test_room_for_bars(void **state)
{
    (void)state;
    static const struct engine_limits l = {
        .symbols = 50, .ids = 50, .rules = 1, .metrics = 4, .fires = 64, .bars = 2048};
    enum jump { BY_TRADE, BY_QUOTE, BY_LATE_PRINT, BY_CLOCK, BY_SETTING, JUMPS };
    for (enum jump jump = 0; jump < JUMPS; jump++) {
        struct tape t = {0};
        put_symbols(&t, l.symbols, true);
        put_rule(&t, 0, &(struct rule_spec){.id = "a", .expr = "price > 0"});
        put_setting(&t, "bars.lateness_ms=3600000");
        for (int minute = 0; minute <= 60; minute++)
            for (uint32_t i = 0; i < l.symbols; i++)
                put_trade(&t, i, T0 + minute * MIN + (minute == 60 ? MIN - 1 : 0), PX(10), 1);
        if (jump == BY_SETTING)
            put_setting(&t, "bars.lateness_ms=0");
        if (jump == BY_CLOCK)
            put_clock(&t, 7, T0 + 200 * MIN + bucket_offset_ns(7));
        if (jump == BY_SETTING)
            put_clock(&t, 7, T0 + 61 * MIN + bucket_offset_ns(7));
        for (uint32_t i = 0; i < l.symbols && jump <= BY_LATE_PRINT; i++)
            if (jump == BY_QUOTE)
                put_quote(&t, i, T0 + 200 * MIN, PX(9), PX(10));
            else
                put_trade(&t, i, T0 + 200 * MIN, PX(10), 1);
        for (uint32_t i = 0; i < l.symbols && jump == BY_LATE_PRINT; i++)
            put_trade(&t, i, T0, PX(10), 1);
        struct engine_counters c = same_events(&l, &t);
        assert_int_equal(c.bars, 61 * l.symbols);
        assert_int_equal(c.revisions, jump == BY_LATE_PRINT ? l.symbols : 0);
        assert_int_equal(c.late_prints, c.revisions);
        tape_free(&t);
    }
}

/* Every rule fires for every symbol of a bucket by one CLOCK, and again by one tick each. */
static void room_for_alerts(uint32_t rules, uint32_t symbols, const char *also)
{
    struct engine_limits l = {.symbols = symbols,
                              .ids = symbols,
                              .rules = rules,
                              .metrics = 256,
                              .fires = rules * symbols,
                              .bars = 2048};
    struct tape t = {0};
    put_symbols(&t, symbols, true);
    for (uint32_t i = 0; i < rules; i++) {
        char id[16], expr[4000];
        snprintf(id, sizeof id, "r%u", i);
        snprintf(expr, sizeof expr, "volume_1m < %u%s", 100 + i, also);
        put_rule(
            &t, i,
            &(struct rule_spec){.id = id, .expr = expr, .trigger = i % 3 ? TRIGGER_LEVEL : TRIGGER_CROSS});
    }
    for (uint32_t i = 0; i < symbols; i++)
        put_trade(&t, i, T0, PX(10), 100000);
    put_clock(&t, 7, T0 + 5 * MIN + bucket_offset_ns(7)); /* level and cross */
    for (uint32_t i = 0; i < symbols; i++)
        put_quote(&t, i, T0 + 6 * MIN, PX(9), PX(10)); /* level */
    struct engine_counters c = same_events(&l, &t);
    uint64_t crosses = (rules + 2) / 3;
    assert_int_equal(c.alerts, symbols * (rules + (rules - crosses)));
    assert_int_equal(c.rules_full + c.metrics_full + c.fires_full + c.rules_refused, 0);
    assert_int_equal(c.bars, symbols);
    tape_free(&t);
}

static void test_room_for_alerts(void **state)
{
    (void)state;
    char also[4000] = "";
    size_t n = 0;
    for (int i = 1; i < ALERT_OPERANDS_MAX; i++) /* the longest alerts there are */
        n += (size_t)snprintf(also + n, sizeof also - n, " or volume_%dm < 0", i + 1);
    room_for_alerts(2000, 20, "");
    room_for_alerts(60, 20, also);
    room_for_alerts(1, 3000, "");
}

/* Rules that come where the output is nearly full: the first message that they evaluate needs more room than
 * the one before. */
static void test_room_for_new_rules(void **state)
{
    (void)state;
    static const struct engine_limits l = {
        .symbols = 2, .ids = 2, .rules = 64, .metrics = 256, .fires = 256, .bars = 2048};
    char expr[4000] = "volume_1m > 0";
    for (int i = 2; i <= ALERT_OPERANDS_MAX; i++)
        snprintf(expr + strlen(expr), sizeof expr - strlen(expr), " or volume_%dm > 0", i);
    /* an alert of the first rule is 2 slots, one of the others 12 */
    uint32_t most = engine_out_capacity(&l) / 2;
    for (uint32_t before = most - 480; before <= most; before += 80) {
        struct tape t = {0};
        put_symbols(&t, 2, true);
        put_rule(&t, 0, &(struct rule_spec){.id = "first", .expr = "price > 0"});
        for (uint32_t i = 0; i < before; i++)
            put_trade(&t, 0, T0, PX(1), 1);
        for (uint32_t i = 1; i < l.rules; i++) {
            char id[16];
            snprintf(id, sizeof id, "r%u", i);
            put_rule(&t, i, &(struct rule_spec){.id = id, .expr = expr});
        }
        put_trade(&t, before % 160 ? 0 : 1, T0 + SEC, PX(1), 1);
        struct engine_counters c = same_events(&l, &t);
        assert_int_equal(c.alerts, before + l.rules);
        tape_free(&t);
    }
}

/* A lateness that is raised and lowered in mid-stream: each minute's bar is emitted once, in order, and
 * revised after that. */
static void test_lateness_that_changes(void **state)
{
    (void)state;
    static const struct engine_limits l = {
        .symbols = 40, .ids = 40, .rules = 1, .metrics = 4, .fires = 64, .bars = 2048};
    static const int lateness_ms[] = {3600000, 0, 1000, 3600000, 3600000, 90000, 3600000, 0};
    enum { MINUTES = 8 * 70 };
    for (int clocks = 0; clocks < 2; clocks++) {
        struct tape t = {0};
        uint64_t random = seed_or(1);
        put_symbols(&t, l.symbols, true);
        put_rule(&t, 0, &(struct rule_spec){.id = "a", .expr = "price > 0", .cooldown_ns = 600 * SEC});
        for (int minute = 0; minute < MINUTES; minute++) {
            if (minute % 70 == 0)
                put_setting(&t, "bars.lateness_ms=%d", lateness_ms[minute / 70]);
            for (uint32_t i = 0; i < l.symbols; i++) {
                put_trade(&t, i, T0 + minute * MIN, PX(10), 1);
                if (one_in(&random, 4)) /* every minute has a bar: these join or revise one */
                    put_trade(&t, i, T0 + random_below(&random, (uint32_t)minute + 1) * MIN, PX(11), 1);
            }
            if (clocks && one_in(&random, 7))
                put_clock(&t, 7, T0 + minute * MIN + bucket_offset_ns(7));
        }
        put_clock(&t, 7, T0 + (MINUTES + 61) * MIN + bucket_offset_ns(7));
        struct engine_counters c = same_events(&l, &t);
        assert_int_equal(c.bars, MINUTES * l.symbols);
        assert_true(c.revisions > 500 && c.revisions == c.late_prints && c.out_of_order_prints > 500);
        struct tape events = events_of(&l, &t, true, 0, 0, &c);
        uint32_t next[40] = {0}, revision[40][MINUTES] = {{0}};
        for (size_t at = 0; at < events.n; at += msg_slot_count(&events.slot[at])) {
            const struct msg *m = &events.slot[at];
            if (m->type != MSG_BAR)
                continue;
            struct msg_bar b = msg_bar_get(m);
            uint32_t minute = (uint32_t)((m->event_ns - T0) / MIN);
            if (b.revision == 0)
                assert_int_equal(minute, next[m->symbol]++);
            else
                assert_true(minute < next[m->symbol] && b.revision == ++revision[m->symbol][minute]);
        }
        tape_free(&events);
        tape_free(&t);
    }
}

/* ---- limits: a full pool refuses by name, is counted, and what is in goes on */

static const struct engine_limits small_limits = {
    .symbols = 3, .ids = 8, .rules = 8, .metrics = 4, .fires = 16, .bars = 2048};

/* Applies a tape of its own and gives its alerts as text: slot@second/symbol. */
static struct engine_counters limits_case(const struct engine_limits *l, struct tape *t, const char *refused,
                                          const char *expected)
{
    struct engine_counters c = {0};
    tape_stamp(t, 1);
    for (size_t batch = 0; batch < 2; batch++) {
        struct bench b;
        char found[4000] = "";
        size_t n = 0;
        bench_open(&b, l);
        bench_apply(&b, t, batch);
        for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at])) {
            const struct msg *m = &b.events.slot[at];
            struct msg_alert a;
            if (m->type != MSG_ALERT)
                continue;
            alert_head(m, &a);
            n += (size_t)snprintf(found + n, sizeof found - n, "%s%u@%d/%u", n ? " " : "", a.rule,
                                  (int)((m->event_ns - T0) / SEC), m->symbol);
            assert_true(n < sizeof found);
        }
        assert_string_equal(found, expected);
        c = *engine_counters(b.e);
        if (!strstr(engine_refusal(b.e), refused))
            fail_msg("refusal '%s', expected one of %s", engine_refusal(b.e), refused);
        bench_close(&b);
    }
    tape_free(t);
    return c;
}

static void test_symbols_full(void **state)
{
    (void)state;
    struct tape t = {0};
    put_symbols(&t, 4, true);             /* S3 has no room */
    put_symbol(&t, 8, "beyond", 7, 0, 0); /* nor is there an id 8 */
    put_symbol(&t, 2, "S2", 7, 0, 0);     /* known */
    put_symbol(&t, UINT32_MAX, "most", 7, 0, 0);
    put_rule(&t, 0, &(struct rule_spec){.id = "a", .expr = "price > 10", .symbols = "S3,S2,beyond"});
    put_rule(&t, 1, &(struct rule_spec){.id = "b", .expr = "price > 10"});
    for (uint32_t i = 0; i < 9; i++)
        put_trade(&t, i, T0 + i * SEC, PX(11), 1);
    put_trade(&t, UINT32_MAX, T0, PX(11), 1);
    struct engine_counters c = limits_case(&small_limits, &t, "", "1@0/0 1@1/1 0@2/2 1@2/2");
    assert_int_equal(c.symbols_full, 3);
    assert_int_equal(c.unknown_symbol, 7);
    assert_int_equal(c.trades, 3);
}

static void list_of(char *list, size_t size, const char *first, char letter)
{
    size_t n = (size_t)snprintf(list, size, "%s", first);
    for (unsigned i = 0; n + 8 < size; i++)
        n += (size_t)snprintf(list + n, size - n, ",%c%u", letter, i);
}

/* The longest lists, far more names than symbols. Together they find no room: those are refused by name that
 * came when there was none, also a new version, whose old one stays; what is small still fits. */
static void test_long_lists(void **state)
{
    (void)state;
    static char list[RULE_SYMBOLS_MAX];
    struct engine_limits limits = small_limits;
    limits.rules = 16;
    struct tape t = {0};
    uint32_t accepted = 0;
    put_symbols(&t, 3, true);
    put_rule(&t, 0, &(struct rule_spec){.id = "all", .expr = "price > 10"});
    list_of(list, sizeof list, "S1", 'x');
    put_rule(&t, 1, &(struct rule_spec){.id = "long", .expr = "price > 10", .symbols = list});
    put_trade(&t, 0, T0, PX(11), 1);
    put_trade(&t, 1, T0, PX(11), 1);
    struct engine_counters c = limits_case(&small_limits, &t, "", "0@0/0 0@0/1 1@0/1");
    assert_int_equal(c.rules_full, 0);

    put_symbols(&t, 3, true);
    put_rule(&t, 0, &(struct rule_spec){.id = "all", .expr = "price > 10"});
    for (uint32_t i = 1; i < 8; i++) {
        char id[16];
        snprintf(id, sizeof id, "list%u", i);
        list_of(list, sizeof list, "S1", (char)('a' + i));
        put_rule(&t, i, &(struct rule_spec){.id = id, .expr = "price > 10 or bid > 10", .symbols = list});
    }
    put_rule(&t, 8, &(struct rule_spec){.id = "small", .expr = "price > 10", .symbols = "S2"});
    put_rule(
        &t, 9,
        &(struct rule_spec){.id = "all", .version = 2, .expr = "price > 10 or bid > 10", .symbols = list});
    put_trade(&t, 0, T0, PX(11), 1);
    put_trade(&t, 1, T0, PX(11), 1);
    put_trade(&t, 2, T0, PX(11), 1);
    tape_stamp(&t, 1);
    struct bench b;
    bench_open(&b, &limits);
    bench_apply(&b, &t, 1);
    unsigned of_small = 0;
    for (size_t at = 0; at < b.events.n; at += msg_slot_count(&b.events.slot[at])) {
        struct msg_alert a;
        alert_head(&b.events.slot[at], &a);
        if (b.events.slot[at].symbol == 1)
            assert_int_equal(a.rule, accepted++); /* the oldest, in order */
        of_small += a.rule == 8;
    }
    assert_in_range(accepted, 2, 7);
    assert_int_equal(of_small, 1);
    assert_int_equal(engine_counters(b.e)->rules_full, 9 - accepted);
    assert_non_null(strstr(engine_refusal(b.e), "'all'")); /* the last */
    bench_close(&b);
    tape_free(&t);
}

static void test_metrics_full(void **state)
{
    (void)state;
    static const struct engine_limits l = {
        .symbols = 3, .ids = 8, .rules = 16, .metrics = 5, .fires = 16, .bars = 2048};
    struct tape t = {0};
    put_symbols(&t, 3, true);
    put_rule(&t, 0, &(struct rule_spec){.id = "a", .expr = "price > 10 and bid > 0"});
    put_rule(&t, 1, &(struct rule_spec){.id = "b", .expr = "price > ask"}); /* price - ask: the 4th */
    put_quote(&t, 0, T0, PX(1), PX(2));
    put_trade(&t, 0, T0 + 1 * SEC, PX(11), 1);                                                  /* both */
    put_rule(&t, 2, &(struct rule_spec){.id = "c", .expr = "volume_1m > 0 and volume_2m > 0"}); /* 2 more */
    put_rule(&t, 3, &(struct rule_spec){.id = "b", .version = 2, .expr = "volume_1m > spread"});
    put_trade(&t, 0, T0 + 2 * SEC, PX(12), 1); /* both: the version before b's stays */
    put_rule(&t, 4, &(struct rule_spec){.id = "d", .expr = "volume_3m > 0 and ask > 0"}); /* the 5th */
    put_rule(&t, 5, &(struct rule_spec){.id = "e", .expr = "bid > ask"}); /* a difference is a metric too */
    put_trade(&t, 0, T0 + 3 * SEC, PX(9), 1);                             /* b and d */
    put_rule(&t, 6, &(struct rule_spec){.id = "f", .expr = "ask > 0 and volume_3m > 0", .symbols = "S0"});
    put_rule(&t, 7, &(struct rule_spec){.id = "last", .expr = "trade_count_1m > 0"});
    put_trade(&t, 0, T0 + 4 * SEC, PX(1), 1); /* d and f */
    struct engine_counters c =
        limits_case(&l, &t, "'last'", "0@1/0 1@1/0 0@2/0 1@2/0 1@3/0 4@3/0 4@4/0 6@4/0");
    assert_int_equal(c.metrics_full, 4);
    assert_int_equal(c.rules_full, 0);
}

static void test_fires_full(void **state)
{
    (void)state;
    static const struct engine_limits l = {
        .symbols = 3, .ids = 8, .rules = 8, .metrics = 4, .fires = 2, .bars = 2048};
    struct tape t = {0};
    put_symbols(&t, 3, true);
    for (uint32_t i = 0; i < 3; i++)
        put_rule(&t, i,
                 &(struct rule_spec){
                     .id = (const char *[]){"a", "b", "c"}[i], .expr = "price > 10", .cooldown_ns = 2 * SEC});
    put_trade(&t, 0, T0, PX(11), 1);           /* two of three */
    put_trade(&t, 1, T0, PX(11), 1);           /* none */
    put_trade(&t, 0, T0 + 2 * SEC, PX(11), 1); /* the two again */
    put_trade(&t, 0, T0 + 4 * SEC, PX(9), 1);  /* they go */
    put_trade(&t, 1, T0 + 5 * SEC, PX(9), 1);
    put_trade(&t, 1, T0 + 6 * SEC, PX(11), 1); /* room for two of another symbol */
    put_trade(&t, 2, T0 + 6 * SEC, PX(11), 1);
    struct engine_counters c = limits_case(&l, &t, "", "0@0/0 1@0/0 0@2/0 1@2/0 0@6/1 1@6/1");
    assert_int_equal(c.fires_full, 1 + 3 + 1 + 3);
    assert_int_equal(c.alerts, 6);
}

static void test_rules_full(void **state)
{
    (void)state;
    struct tape t = {0};
    put_symbols(&t, 3, true);
    put_rule(&t, 7, &(struct rule_spec){.id = "a", .expr = "price > 10"});
    put_rule(&t, 8, &(struct rule_spec){.id = "a", .version = 2, .expr = "price > 10"});
    put_rule(&t, 7, &(struct rule_spec){.id = "taken", .expr = "price > 1"}); /* repeated: ignored */
    put_rule(&t, UINT32_MAX, &(struct rule_spec){.id = "most", .expr = "price > 10"});
    put_rule(&t, 0, &(struct rule_spec){.id = "b", .expr = "price > 10"});
    put_trade(&t, 0, T0, PX(11), 1);
    put_trade(&t, 0, T0 + SEC, PX(9), 1);
    struct engine_counters c = limits_case(&small_limits, &t, "'most'", "0@0/0 7@0/0");
    assert_int_equal(c.rules_full, 2);
}

/* More bars than there is room for: an eighth of them goes, a print of what is gone is in no bar. Trades in
 * each minute but GAP up to `last`, then late ones. */
static void bars_full_case(int last, const int *late, int n_late, const char *expected, uint64_t unkept)
{
    enum { GAP = 1000 };
    struct tape t = {0};
    struct engine_counters c;
    put_symbols(&t, 1, true);
    put_rule(&t, 0, &(struct rule_spec){.id = "a", .expr = "price > 10"});
    put_rule(&t, 1, &(struct rule_spec){.id = "b", .expr = "sma(2)@1m == 5"});
    for (int minute = 0; minute <= last; minute++)
        if (minute != GAP)
            put_trade(&t, 0, T0 + minute * MIN, PX(1 + minute % 2), 1);
    put_trade(&t, 0, T0 + last * MIN + 2 * SEC, PX(1), 1);
    for (int i = 0; i < n_late; i++)
        put_trade(&t, 0, T0 + late[i] * MIN, PX(20 + i), 1);
    put_trade(&t, 0, T0 + (last - 1) * MIN, PX(8), 1); /* the newest: revised */
    put_quote(&t, 0, T0 + last * MIN + 3 * SEC, PX(1), PX(2));
    put_trade(&t, 0, T0 + last * MIN + 3 * SEC, PX(2), 1); /* (8 + 2) / 2 */
    tape_stamp(&t, 1);
    struct tape events = events_of(&bench_limits, &t, false, 0, 0, &c);
    char found[400] = "";
    size_t n = 0;
    for (size_t at = 0; at < events.n; at += msg_slot_count(&events.slot[at])) {
        const struct msg *m = &events.slot[at];
        struct msg_bar b = msg_bar_get(m);
        if (m->type == MSG_ALERT)
            n += (size_t)snprintf(found + n, sizeof found - n, "alert ");
        else if (b.high_e9 > PX(2))
            n += (size_t)snprintf(found + n, sizeof found - n, "%d:%g r%u ", (int)((m->event_ns - T0) / MIN),
                                  (double)b.high_e9 / 1e9, b.revision);
    }
    assert_string_equal(found, expected);
    assert_int_equal(c.late_unkept, unkept);
    assert_int_equal(c.late_prints, n_late + 1);
    assert_int_equal(c.bars, last); /* GAP's is one of them */
    tape_free(&events);
    tape_free(&t);
}

static void test_bars_full(void **state)
{
    (void)state;
    enum { ROOM = 2048, GONE = ROOM / 8 };
    bars_full_case(ROOM + 10, (const int[]){GONE, GONE - 1, 0, 1000, GONE}, 5,
                   "256:20 r1 1000:23 r0 256:24 r2 2057:8 r1 alert ", 2);
    /* the last place is taken: one more bar between the others, or before them, makes room */
    bars_full_case(ROOM + 1, (const int[]){0, 1000, GONE, GONE - 1, 1000}, 5,
                   "0:20 r1 1000:21 r0 256:22 r1 1000:24 r1 2048:8 r1 alert ", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_triggers),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_cross),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_crossings),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_more_triggers),
        cmocka_unit_test(test_late_prints),
        cmocka_unit_test(test_rules_that_change),
        cmocka_unit_test(test_days_and_sessions),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_texts_of_alerts),
        cmocka_unit_test(test_bars),
        cmocka_unit_test(test_alert_id),
        cmocka_unit_test(test_room_for_bars),
        cmocka_unit_test(test_room_for_alerts),
        cmocka_unit_test(test_room_for_new_rules),
        cmocka_unit_test(test_lateness_that_changes),
        cmocka_unit_test(test_symbols_full),
        cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_metrics_full),
        cmocka_unit_test(test_fires_full),
        cmocka_unit_test(test_rules_full),
        cmocka_unit_test(test_bars_full),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
