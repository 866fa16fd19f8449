#include "workers/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

int summary_write(const char *path, const uint64_t count[MSG_TYPE_COUNT], const struct source_stats *stats,
                  uint64_t bars, uint64_t alerts, double seconds, double ingest_seconds, struct error *err)
{
    json_t *messages = json_object(), *skipped = json_object(), *rejected = json_object();
    for (int t = MSG_TRADE; t <= MSG_END; t++)
        if (count[t] || t == MSG_TRADE || t == MSG_QUOTE || t == MSG_CLOCK)
            json_object_set_new(messages, msg_type_name((unsigned)t), json_integer((json_int_t)count[t]));
    for (int k = 0; k < SOURCE_SKIP_KINDS && stats->skipped[k].kind[0]; k++)
        json_object_set_new(skipped, stats->skipped[k].kind,
                            json_integer((json_int_t)stats->skipped[k].count));
    for (int r = 0; r < REJECT_COUNT; r++)
        if (stats->rejected[r])
            json_object_set_new(rejected, reject_name((enum reject_reason)r),
                                json_integer((json_int_t)stats->rejected[r]));
    json_t *all =
        json_pack("{s:I,s:o,s:o,s:o,s:I,s:I,s:I,s:f}", "rows", (json_int_t)stats->rows, "messages", messages,
                  "skipped", skipped, "rejected", rejected, "conflated", (json_int_t)stats->conflated, "bars",
                  (json_int_t)bars, "alerts", (json_int_t)alerts, "seconds", seconds);
    if (ingest_seconds >= 0)
        json_object_set_new(all, "ingest_seconds", json_real(ingest_seconds));
    FILE *out = !strcmp(path, "-") ? stdout : fopen(path, "we");
    int bad = 0;
    if (!out || json_dumpf(all, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) < 0 || fputc('\n', out) == EOF ||
        fflush(out) != 0)
        bad = error_set(err, "%s: cannot be written: %s", path, strerror(errno));
    if (out && out != stdout)
        fclose(out);
    json_decref(all);
    return bad;
}
