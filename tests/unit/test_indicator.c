/* Indicators: names; a live value is bit for bit that of the ended bar; slow references by the textbook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "core/indicator.h"

enum { BARS = 900, RING = 512, WORDS = 1024 };

static uint64_t seed = 20131008;

static uint64_t rnd(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

/* A walk with flat stretches, bars without a range, and volumes of 0. */
static void make_bars(struct bar *bar, size_t n)
{
    int64_t price = 100000000000;
    for (size_t i = 0; i < n; i++) {
        bool flat = rnd(9) == 0;
        int64_t open = price, spread = flat ? 0 : 10000000 * (int64_t)rnd(90);
        if (!flat)
            price += 10000000 * ((int64_t)rnd(201) - 100);
        int64_t top = open > price ? open : price, bottom = open < price ? open : price;
        bar[i] = (struct bar){.open_e9 = open,
                              .high_e9 = top + spread,
                              .low_e9 = bottom - (flat ? 0 : 10000000 * (int64_t)rnd(90)),
                              .close_e9 = price,
                              .volume = rnd(20) ? rnd(1000000) : 0,
                              .minute = (uint32_t)i,
                              .trades = 1};
    }
}

static struct indicator named(const char *text)
{
    struct indicator x;
    struct error err = {""};
    if (indicator_parse(text, strlen(text), &x, &err))
        fail_msg("%s: %s", text, err.text);
    return x;
}

static bool same(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

/* Parameters for a row: its defaults, or small, or large ones. */
static struct indicator example(unsigned kind, unsigned output, unsigned variant)
{
    const struct indicator_row *row = &indicator_rows[kind];
    struct indicator x = {.kind = (uint8_t)kind, .output = (uint8_t)output};
    static const uint16_t periods[4][3] = {{14, 5, 3}, {0}, {400, 391, 7}, {3, 10, 16}};
    if (!strncmp(row->name, "psar", 4)) {
        x.hundredths = (uint16_t)(2 + variant);
        x.n[0] = 20;
        return x;
    }
    unsigned at = 0;
    for (unsigned i = 0; row->form[i]; i++)
        if (row->form[i] == 'm')
            x.hundredths = (uint16_t)(50 + 125 * variant);
        else
            x.n[at] = variant == 1 ? row->least : periods[variant][at], at++;
    return x;
}

/* One indicator over bars of which the last RING are there. */
static void check_live(const struct indicator *x, const struct bar *bar)
{
    static struct bar ring[RING];
    static int64_t w[WORDS], before[WORDS];
    char name[INDICATOR_NAME_MAX];
    struct bar_series b = {ring, sizeof *ring, 5, 5, 5};
    unsigned words = indicator_words(x), first = 0;
    indicator_name(x, name);
    if (words > WORDS - 1)
        fail_msg("%s: %u words", name, words);
    memset(w, 0, sizeof w);
    w[words] = 4711;
    assert_true(isnan(indicator_value(x, w, &b, NULL, 2)));
    for (unsigned i = 0; i < BARS; i++) {
        memcpy(before, w, sizeof w);
        /* another live bar leaves no trace */
        struct bar other = bar[BARS - 1 - i];
        (void)indicator_value(x, w, &b, &other, 2);
        double live = indicator_value(x, w, &b, &bar[i], 2);
        assert_memory_equal(w, before, sizeof w);
        if (b.end - b.zero == RING) {
            memmove(ring, ring + 1, (RING - 1) * sizeof *ring);
            b.zero++;
        }
        ring[b.end - b.zero] = bar[i];
        b.end++;
        indicator_push(x, w, &b, 2);
        double ended = indicator_value(x, w, &b, NULL, 2);
        if (!same(live, ended))
            fail_msg("%s: bar %u: live %.17g, ended %.17g", name, i, live, ended);
        if (ended == ended && !first)
            first = i + 1;
    }
    assert_int_equal(w[words], 4711);
    unsigned warmup = indicator_warmup(x);
    bool at_warmup = indicator_rows[x->kind].name[0] == 'p' ? first >= warmup : first == warmup;
    bool any = first > 0 || warmup > BARS || !strncmp(name, "supertrend", 10);
    /* a band of supertrend, and what divides by a range or deviation of 0, may come later */
    bool later = x->n[0] <= 2 || !strncmp(name, "supertrend", 10);
    if (!any || (first && !at_warmup && !(later && first >= warmup)))
        fail_msg("%s: first value at bar %u, expected %u", name, first, warmup);
}

static void test_live_is_ended(void **state)
{
    static struct bar bar[BARS];
    size_t len;
    (void)state;
    make_bars(bar, BARS);
    for (unsigned k = 0; k < INDICATOR_KIND_COUNT; k++)
        for (unsigned o = 0; indicator_output(&indicator_rows[k], o, &len); o++) {
            assert_true(o < INDICATOR_OUTPUTS_MAX);
            for (unsigned variant = 0; variant < 4; variant++) {
                struct indicator x = example(k, o, variant);
                check_live(&x, bar);
            }
        }
}

/* A canonical name is read back as itself. */
static void test_names(void **state)
{
    char name[INDICATOR_NAME_MAX];
    size_t len;
    (void)state;
    for (unsigned k = 0; k < INDICATOR_KIND_COUNT; k++)
        for (unsigned o = 0; indicator_output(&indicator_rows[k], o, &len); o++)
            for (unsigned variant = 0; variant < 4; variant++) {
                struct indicator x = example(k, o, variant), y;
                indicator_name(&x, name);
                y = named(name);
                assert_memory_equal(&x, &y, sizeof x);
            }
    static const char *const alias[][2] = {
        {"rsi_14", "rsi(14)"},
        {"rsi", "rsi(14)"},
        {"macd", "macd(12,26,9)"},
        {"macd_12_26_9_signal", "macd(12,26,9).signal"},
        {"bb", "bb(20,2).middle"},
        {"bb_20_2.5_upper", "bb(20,2.5).upper"},
        {"bb_20_2.upper", "bb(20,2).upper"},
        {"bb_lower", "bb(20,2).lower"},
        {"stoch(5)", "stoch(5,3,3).k"},
        {"psar", "psar(0.02,0.2)"},
        {"psar(.05)", "psar(0.05,0.2)"},
        {"keltner(20,2.25,10).width", "keltner(20,2.25,10).width"},
        {"linreg_slope_9", "linreg_slope(9)"},
        {"adx_pdi", "adx(14).pdi"},
    };
    for (size_t i = 0; i < sizeof alias / sizeof *alias; i++) {
        struct indicator x = named(alias[i][0]);
        indicator_name(&x, name);
        assert_string_equal(name, alias[i][1]);
    }
}

static void test_bad_names(void **state)
{
    static const char *const bad[] = {
        "ema",        "rsi(0)",           "rsi(401)",        "rsi(14",     "rsi()",        "rsi(14)x",
        "rsi(1.5)",   "rsi(14,2)",        "rsi_14_15",       "bb(20,0)",   "bb(20,2.123)", "bb(20,2).up",
        "bb(20,101)", "obv(3)",           "macd(,2,3)",      "rsi(14))",   "rsi(14)(14)",  "rsi_",
        "rsi.",       "rsi(-3)",          "linreg_slope(1)", "stoch(14).", "rsi(14).k",    "macd.value",
        "bb_20_2_",   "rsi(99999999999)", "psar(0)",         "rsi( 14)",
    };
    struct indicator x;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.text[0] = 0;
        int r = indicator_parse(bad[i], strlen(bad[i]), &x, &err);
        if (r != -1 || !strstr(err.text, "expected"))
            fail_msg("'%s': %d, \"%s\"", bad[i], r, err.text);
    }
    assert_int_equal(indicator_parse("price", 5, &x, &err), 1);
    assert_int_equal(indicator_parse("minutes_in_market", 17, &x, &err), 1);
    assert_int_equal(indicator_parse("", 0, &x, &err), 1);
    assert_int_equal(indicator_parse("rsi_14junk", 6, &x, &err), 0); /* len counts, not the NUL */
    assert_int_equal(x.n[0], 14);
}

/* ---- references: from all bars, by the formula, in long double */

typedef long double real;
#define PRICE(i, field) ((real)bar[i].field##_e9 / 1e9L)

static real mean_close(const struct bar *bar, unsigned end, unsigned n)
{
    real sum = 0;
    for (unsigned i = end - n; i < end; i++)
        sum += PRICE(i, close);
    return sum / n;
}

static real ref_stddev(const struct bar *bar, unsigned end, unsigned n)
{
    real mean = mean_close(bar, end, n), sum = 0;
    for (unsigned i = end - n; i < end; i++)
        sum += (PRICE(i, close) - mean) * (PRICE(i, close) - mean);
    return sqrtl(sum / n);
}

static real ref_ema(const struct bar *bar, unsigned end, unsigned n)
{
    real v = mean_close(bar, n, n);
    for (unsigned i = n; i < end; i++)
        v = v * (1 - 2.0L / (n + 1)) + PRICE(i, close) * 2 / (n + 1);
    return v;
}

static real ref_rsi(const struct bar *bar, unsigned end, unsigned n)
{
    real gain = 0, loss = 0;
    for (unsigned i = 1; i < end; i++) {
        real x = PRICE(i, close) - PRICE(i - 1, close), up = x > 0 ? x : 0, down = x < 0 ? -x : 0;
        gain = i <= n ? gain + up / n : (gain * (n - 1) + up) / n;
        loss = i <= n ? loss + down / n : (loss * (n - 1) + down) / n;
    }
    return loss == 0 ? 100 : 100 - 100 / (1 + gain / loss);
}

static real range_of(const struct bar *bar, unsigned i)
{
    real high = PRICE(i, high), low = PRICE(i, low), c = PRICE(i - 1, close);
    return fmaxl(high - low, fmaxl(fabsl(high - c), fabsl(low - c)));
}

static real ref_atr(const struct bar *bar, unsigned end, unsigned n)
{
    real v = 0;
    for (unsigned i = 1; i < end; i++)
        v = i <= n ? v + range_of(bar, i) / n : (v * (n - 1) + range_of(bar, i)) / n;
    return v;
}

static real ref_slope(const struct bar *bar, unsigned end, unsigned n)
{
    real mean = mean_close(bar, end, n), top = 0, bottom = 0;
    for (unsigned j = 0; j < n; j++) {
        real x = j - (n - 1) / 2.0L;
        top += x * (PRICE(end - n + j, close) - mean);
        bottom += x * x;
    }
    return top / bottom;
}

static real ref_cci(const struct bar *bar, unsigned end, unsigned n)
{
    real mean = 0, apart = 0, last = 0;
    for (unsigned i = end - n; i < end; i++)
        mean += last = (PRICE(i, high) + PRICE(i, low) + PRICE(i, close)) / 3;
    mean /= n;
    for (unsigned i = end - n; i < end; i++)
        apart += fabsl((PRICE(i, high) + PRICE(i, low) + PRICE(i, close)) / 3 - mean);
    /* equal prices leave a residue of rounding */
    return apart < 1e-14L * n * mean ? NAN : (last - mean) / (0.015L * apart / n);
}

static real fast_k(const struct bar *bar, unsigned end, unsigned n)
{
    real high = 0, low = 1e18L;
    for (unsigned i = end - n; i < end; i++) {
        high = fmaxl(high, PRICE(i, high));
        low = fminl(low, PRICE(i, low));
    }
    return high > low ? 100 * (PRICE(end - 1, close) - low) / (high - low) : 0;
}

static real ref_stoch_d(const struct bar *bar, unsigned end, unsigned n)
{
    real sum = 0;
    for (unsigned d = 0; d < 3; d++)
        for (unsigned m = 0; m < 5; m++)
            sum += fast_k(bar, end - d - m, n);
    return sum / 15;
}

static real ref_mfi(const struct bar *bar, unsigned end, unsigned n)
{
    real rise = 0, fall = 0;
    for (unsigned i = end - n; i < end; i++) {
        __int128 now = (__int128)bar[i].high_e9 + bar[i].low_e9 + bar[i].close_e9;
        __int128 before = (__int128)bar[i - 1].high_e9 + bar[i - 1].low_e9 + bar[i - 1].close_e9;
        *(now > before ? &rise : &fall) += now == before ? 0 : (real)now * bar[i].volume;
    }
    return fall == 0 ? 100 : 100 - 100 / (1 + rise / fall);
}

static real ref_cmf(const struct bar *bar, unsigned end, unsigned n)
{
    real flow = 0, volume = 0;
    for (unsigned i = end - n; i < end; i++) {
        real high = PRICE(i, high), low = PRICE(i, low), c = PRICE(i, close);
        flow += high > low ? ((c - low) - (high - c)) / (high - low) * bar[i].volume : 0;
        volume += bar[i].volume;
    }
    return flow / volume;
}

static real aroon(const struct bar *bar, unsigned end, unsigned n, bool newest)
{
    unsigned high = end - n - 1, low = high;
    for (unsigned i = high; i < end; i++) {
        high = bar[i].high_e9 >= bar[high].high_e9 + !newest ? i : high;
        low = bar[i].low_e9 <= bar[low].low_e9 - !newest ? i : low;
    }
    return 100 * ((real)high - low) / n;
}

static real ref_aroon(const struct bar *bar, unsigned end, unsigned n)
{
    return aroon(bar, end, n, false);
}

static real ref_aroon_newest(const struct bar *bar, unsigned end, unsigned n)
{
    return aroon(bar, end, n, true);
}

/* Sums of n - 1 changes, each later one less 1/n of the sum; adx from the n-th change on. */
static real ref_adx_late(const struct bar *bar, unsigned end, unsigned n)
{
    real range = 0, plus = 0, minus = 0, adx = 0;
    for (unsigned i = 1; i < end; i++) {
        real up = PRICE(i, high) - PRICE(i - 1, high), down = PRICE(i - 1, low) - PRICE(i, low), keep = 1;
        if (i >= n)
            keep -= 1.0L / n;
        if (fabsl(up - down) < 1e-12L)
            up = down = 0;
        range = range * keep + range_of(bar, i);
        plus = plus * keep + (up > down && up > 0 ? up : 0);
        minus = minus * keep + (down > up && down > 0 ? down : 0);
        real dx = plus + minus > 0 ? 100 * fabsl(plus - minus) / (plus + minus) : 0;
        if (i >= n)
            adx = i < 2 * n ? adx + dx / n : (adx * (n - 1) + dx) / n;
    }
    return adx;
}

/* Bands that trail from the first bar on; NaN up to the first close outside of them. */
static real ref_supertrend_hl(const struct bar *bar, unsigned end, unsigned n)
{
    real sum = 0, mean = 0, upper = 0, lower = 0, value = NAN;
    int trend = 0;
    for (unsigned i = 0; i < end; i++) {
        real range = i ? range_of(bar, i) : PRICE(0, high) - PRICE(0, low);
        sum += range;
        mean = i < n ? sum / (i + 1) : (mean * (n - 1) + range) / n;
        real middle = (PRICE(i, high) + PRICE(i, low)) / 2, close = PRICE(i, close);
        real before = i ? PRICE(i - 1, close) : 0;
        lower = i && before > lower ? fmaxl(lower, middle - 3 * mean) : middle - 3 * mean;
        upper = i && before < upper ? fminl(upper, middle + 3 * mean) : middle + 3 * mean;
        trend = close > upper ? 1 : close < lower ? -1 : trend;
        value = trend > 0 ? lower : trend < 0 ? upper : NAN;
    }
    return value;
}

static real ref_vwap_ohlc(const struct bar *bar, unsigned end, unsigned n)
{
    real sum = 0, volume = 0;
    for (unsigned i = end - n; i < end; i++) {
        sum += (PRICE(i, open) + PRICE(i, high) + PRICE(i, low) + PRICE(i, close)) / 4 * bar[i].volume;
        volume += bar[i].volume;
    }
    return volume > 0 ? sum / volume : NAN;
}

static real ref_donchian(const struct bar *bar, unsigned end, unsigned n)
{
    int64_t high = 0;
    for (unsigned i = end - 1 - n; i < end - 1; i++)
        high = bar[i].high_e9 > high ? bar[i].high_e9 : high;
    return high / 1e9L;
}

static real ref_volume(const struct bar *bar, unsigned end, unsigned n)
{
    real sum = 0;
    for (unsigned i = end - n; i < end; i++)
        sum += bar[i].volume;
    return sum / n / 100; /* scale 2 */
}

static void test_references(void **state)
{
    static const struct {
        const char *form;
        real (*of)(const struct bar *bar, unsigned end, unsigned n);
    } refs[] = {
        {"sma(%u)", mean_close},
        {"stddev(%u)", ref_stddev},
        {"ema(%u)", ref_ema},
        {"rsi(%u)", ref_rsi},
        {"atr(%u)", ref_atr},
        {"linreg_slope(%u)", ref_slope},
        {"cci(%u)", ref_cci},
        {"stoch(%u,5,3).d", ref_stoch_d},
        {"mfi(%u)", ref_mfi},
        {"cmf(%u)", ref_cmf},
        {"aroon(%u)", ref_aroon},
        {"aroon_newest(%u)", ref_aroon_newest},
        {"adx_late(%u)", ref_adx_late},
        {"supertrend_hl(%u,3)", ref_supertrend_hl},
        {"donchian(%u).upper", ref_donchian},
        {"vwap_ohlc(%u)", ref_vwap_ohlc},
        {"volume_avg(%u)", ref_volume},
    };
    static const unsigned periods[] = {2, 5, 14, 50, 400};
    static struct bar bar[BARS];
    static int64_t w[WORDS];
    (void)state;
    make_bars(bar, BARS);
    for (size_t r = 0; r < sizeof refs / sizeof *refs; r++)
        for (size_t p = 0; p < sizeof periods / sizeof *periods; p++) {
            char name[64];
            unsigned count = 0;
            snprintf(name, sizeof name, refs[r].form, periods[p]);
            struct indicator x = named(name);
            memset(w, 0, sizeof w);
            for (unsigned end = 1; end <= BARS; end++) {
                struct bar_series b = {bar, sizeof *bar, 0, 0, end};
                indicator_push(&x, w, &b, 2);
                double v = indicator_value(&x, w, &b, NULL, 2);
                if (end < indicator_warmup(&x))
                    continue;
                real want = refs[r].of(bar, end, periods[p]);
                if (isnan(v) ? isfinite(want) : fabsl(v - want) > 1e-9L * fmaxl(fabsl(want), 1e-3L))
                    fail_msg("%s: bar %u: %.17g, expected %.17Lg", name, end, v, want);
                count += !isnan(v);
            }
            assert_true(count > (BARS - indicator_warmup(&x)) / 2);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_live_is_ended),
        cmocka_unit_test(test_references),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
