/* What the engine promises, case by case: triggers, time, bars, rules that change, limits, and how calls are
 * split. Cases are scripts, one step a line or after `;`, times in seconds after T0:
 *
 *   rule ID COOLDOWN_S level|cross [v=N] [off] [sym=A,B] : EXPRESSION     a new slot, by order
 *   t TIME SYMBOL PRICE [SIZE]     a trade          q TIME SYMBOL BID ASK     a quote
 *   c TIME SYMBOL                  a CLOCK of the symbol's bucket             set KEY=VALUE
 *   day CALENDAR T0 T1 T2 T3       a trading day, minutes after T0            close SYMBOL PRICE yesterday's
 *
 * Symbols are A (bucket 0), B (512), C (0), D (1023, its sizes have 2 decimals), all of calendar 0. What
 * comes out is one text: alerts as id@time, /SYMBOL if it is not A, #k if k > 0; bars as [SYMBOL minute
 * open/high/low/close volume trades rN].
 */
#include "tests/unit/engine_harness.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct script {
    struct tape tape;
    char id[64][32]; /* of rules, by slot */
    unsigned rules;
    bool known[4];
};

static int64_t seconds(const char *text)
{
    return T0 + PX(atof(text));
}

static uint32_t symbol_id(struct script *s, const char *name)
{
    static const uint16_t buckets[] = {0, 512, 0, 1023};
    uint32_t i = (uint32_t)(name[0] - 'A');
    assert_true(i < 4 && !name[1]);
    if (!s->known[i])
        put_symbol(&s->tape, i, name, buckets[i], i == 3 ? 2 : 0, 0);
    s->known[i] = true;
    return i;
}

static void script_rule(struct script *s, char *line)
{
    char *expr = strstr(line, " : "), trigger[8], symbols[100] = "";
    struct rule_spec r = {.version = 1};
    double cooldown;
    assert_non_null(expr);
    *expr = 0;
    r.id = s->id[s->rules];
    r.expr = expr + 3;
    assert_int_equal(sscanf(line, "rule %31s %lf %7s", s->id[s->rules], &cooldown, trigger), 3);
    r.cooldown_ns = PX(cooldown);
    r.trigger = !strcmp(trigger, "cross") ? TRIGGER_CROSS : TRIGGER_LEVEL;
    r.disabled = strstr(line, " off");
    if (strstr(line, " v="))
        r.version = (uint32_t)atoi(strstr(line, " v=") + 3);
    if (strstr(line, " sym=") && sscanf(strstr(line, " sym="), " sym=%99s", symbols) == 1)
        r.symbols = symbols;
    put_rule(&s->tape, s->rules++, &r);
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
        static const uint16_t buckets[] = {0, 512, 0, 1023};
        put_clock(&s->tape, buckets[symbol_id(s, w[1])], seconds(w[0]));
    } else if (!strcmp(verb, "day")) {
        put_setting(&s->tape, "calendar.%s=%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64, w[0],
                    T0 + atoi(w[1]) * MIN, T0 + atoi(w[2]) * MIN, T0 + atoi(w[3]) * MIN,
                    T0 + atoi(w[4]) * MIN);
    } else if (!strcmp(verb, "close")) {
        put_daily(&s->tape, symbol_id(s, w[0]), T0 - DAY, PX(atof(w[1])));
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

static void events_text(const struct script *s, const struct tape *events, bool bars, bool alerts, char *out,
                        size_t size)
{
    size_t n = 0;
    out[0] = 0;
    for (size_t at = 0; at < events->n; at += msg_slot_count(&events->slot[at])) {
        const struct msg *m = &events->slot[at];
        if (m->type == MSG_ALERT && alerts) {
            struct msg_alert a;
            alert_head(m, &a);
            n += (size_t)snprintf(out + n, size - n, "%s%s@%.12g", n ? " " : "", s->id[a.rule],
                                  (double)(m->event_ns - T0) / 1e9);
            if (m->symbol)
                n += (size_t)snprintf(out + n, size - n, "/%c", 'A' + m->symbol);
            if (a.k)
                n += (size_t)snprintf(out + n, size - n, "#%u", a.k);
        } else if (m->type == MSG_BAR && bars) {
            struct msg_bar b = msg_bar_get(m);
            n += (size_t)snprintf(out + n, size - n, "%s[%c %d %g/%g/%g/%g %" PRIu64 " %u r%u]", n ? " " : "",
                                  'A' + m->symbol, (int)((m->event_ns - T0) / MIN), (double)b.open_e9 / 1e9,
                                  (double)b.high_e9 / 1e9, (double)b.low_e9 / 1e9, (double)b.close_e9 / 1e9,
                                  b.volume, b.trades, b.revision);
        }
        assert_true(n < size);
    }
}

static void run_script(const char *name, const char *text, const char *expected, bool bars, bool alerts,
                       size_t batch)
{
    struct script s = {0};
    struct bench b;
    char found[4000];
    script_parse(&s, text);
    bench_open(&b, NULL);
    bench_apply(&b, &s.tape, batch);
    events_text(&s, &b.events, bars, alerts, found, sizeof found);
    if (engine_counters(b.e)->rules_refused || engine_counters(b.e)->settings_refused ||
        engine_counters(b.e)->rules_full)
        fail_msg("%s: %s", name, engine_refusal(b.e));
    if (strcmp(found, expected))
        fail_msg("%s\n  script   %s\n  found    %s\n  expected %s", name, text, found, expected);
    bench_close(&b);
    tape_free(&s.tape);
}

struct example {
    const char *name, *text, *expected;
};

static void run_table(const struct example *t, size_t n, bool bars, bool alerts)
{
    for (size_t i = 0; i < n; i++)
        for (size_t batch = 0; batch < 3; batch++)
            run_script(t[i].name, t[i].text, t[i].expected, bars, alerts, batch);
}
#define RUN(table, bars, alerts) run_table(table, sizeof table / sizeof *table, bars, alerts)

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
    RUN(t, false, true);
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
    };
    RUN(t, false, true);
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
    RUN(t, false, true);
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
    RUN(t, false, true);
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
    RUN(t, false, true);
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
    RUN(t, true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_cross),
        cmocka_unit_test(test_late_prints),
        cmocka_unit_test(test_rules_that_change),
        cmocka_unit_test(test_days_and_sessions),
        cmocka_unit_test(test_bars),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
