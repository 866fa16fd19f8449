#include "tests/sim/market.h"

#include "tests/sim/random.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* 2013-10-08 13:30 UTC, the opening in New York. */
#define OPENING_NS INT64_C(1381239000000000000)
#define SECOND_NS  INT64_C(1000000000)

static void write_trades(struct market *m)
{
    FILE *f = fopen(m->source + 4, "we"); /* after csv: */
    int symbols = 1 + (int)random_below(8);
    int64_t price[8], now = OPENING_NS + (int64_t)random_below(3600) * SECOND_NS;
    int64_t mean_ns = RANDOM_OF(50000000, 500000000, 3 * SECOND_NS, 20 * SECOND_NS);
    assert(f);
    fprintf(f, "ts_ns,symbol,price,size\n");
    for (int i = 0; i < symbols; i++)
        price[i] = 5000 + (int64_t)random_below(20000);
    for (int i = 0; i < m->trades; i++) {
        int s = (int)random_below((uint64_t)symbols);
        now += (int64_t)random_below((uint64_t)(2 * mean_ns));
        int64_t late = random_one_in(30) ? (int64_t)random_below(180) * SECOND_NS : 0;
        price[s] += (int64_t)random_below(21) - 10;
        price[s] = price[s] < 100 ? 100 : price[s];
        fprintf(f, "%lld,S%d,%lld.%02lld,%llu\n", (long long)(now - late), s, (long long)price[s] / 100,
                (long long)price[s] % 100, (unsigned long long)(1 + random_below(900)));
    }
    fclose(f);
}

static void write_rules(const struct market *m)
{
    static const char *const rules[] = {
        "{\"id\":\"level\",\"cooldown\":1,\"expr\":\"price > 100\"}",
        "{\"id\":\"cross\",\"trigger\":\"cross\",\"cooldown\":0,\"expr\":\"price > 120\"}",
        "{\"id\":\"vwap\",\"trigger\":\"cross\",\"cooldown\":2,\"expr\":\"price > vwap(session)\"}",
        "{\"id\":\"ema\",\"mode\":\"shadow\",\"trigger\":\"cross\",\"cooldown\":0,\"expr\":\"ema(3) > "
        "ema(8)\"}",
        "{\"id\":\"bar\",\"trigger\":\"cross\",\"cooldown\":0,\"expr\":\"close > open and volume > 500\"}",
        "{\"id\":\"quiet\",\"trigger\":\"cross\",\"cooldown\":0,\"expr\":\"volume_2m == 0 and volume_60m > "
        "0\"}",
        "{\"id\":\"many\",\"cooldown\":0,\"expr\":\"price > 0\"}",
    };
    FILE *f = fopen(m->rules, "we");
    int n = 0;
    assert(f);
    fprintf(f, "[");
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (random_below(3))
            fprintf(f, "%s%s", n++ ? ",\n" : "", rules[i]);
    if (n == 0)
        fprintf(f, "%s", rules[0]);
    fprintf(f, "]\n");
    fclose(f);
}

void market_make(struct market *m)
{
    struct settings *s = &m->settings;
    snprintf(m->instance, sizeof m->instance, "%s/instance", m->dir);
    snprintf(m->source, sizeof m->source, "csv:%s/trades.csv", m->dir);
    snprintf(m->rules, sizeof m->rules, "%s/rules.json", m->dir);
    m->trades = 100 + (int)random_below((uint64_t)RANDOM_OF(200, 1000, 2000));
    write_trades(m);
    write_rules(m);
    settings_defaults(s);
    s->run_scanners = 1 + (int64_t)random_below(3);
    s->rings_bucket_table = (enum set_rings_bucket_table)random_below(3);
    s->rings_tick_slots = RANDOM_OF(64, 64, 128, 1024);
    s->rings_event_slots = RANDOM_OF(64, 64, 128, 1024);
    s->limits_symbols = 32;
    s->limits_rules = 16;
    s->limits_metrics = 64;
    s->limits_fires = 1024;
    s->bars_keep = 60;
    s->shm_pages = SET_SHM_PAGES_NORMAL;
    s->journal_sync = (enum set_journal_sync)random_below(3);
    s->journal_interval_ms = RANDOM_OF(1, 20, 100);
    s->journal_block_kb = RANDOM_OF(4, 4, 8);
    s->journal_staging_mb = 1;
    s->checkpoints_interval_ms = RANDOM_OF(0, 1, 20);
    s->rings_when_full = (enum set_rings_when_full)random_below(2);
    m->staging_bytes = (uint64_t)RANDOM_OF(5, 9, 40) * (uint64_t)(s->journal_block_kb << 10);
    m->journal_segment_bytes = (uint64_t)RANDOM_OF(9000, 20000, 1 << 20);
    m->outbox_segment_bytes = (uint64_t)RANDOM_OF(20000, 60000, 1 << 20);
    snprintf(s->sinks_jsonl, sizeof s->sinks_jsonl, "the server of the simulation");
    s->redis_publish_prices = false;
    s->anomalies_enabled = m->trades % 2; /* told at every turn, where they are */
    s->anomalies_zscore = 500;
    s->anomalies_suspect = 200;
    s->anomalies_cooldown_s = 0;
    s->anomalies_silence_min = 1;
}
