/* ringtape import SOURCE… OUT: stamps sources into a capture, as `run` would, without scanners. */
#include "workers/cmd_import.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "net/journal.h"
#include "workers/stream.h"

const struct cli_option cmd_import_options[] = {
    {.name = "rules", .arg = "FILE", .help = "rules that go into the capture", .kind = CLI_TEXT},
    STREAM_FILE_OPTIONS,
    {0},
};

static void log_line(void *ctx, const char *line)
{
    const struct cli_args *args = ctx;
    fprintf(args->err, "%s\n", line);
}

static int64_t utc_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int copy(const struct cli_args *a, struct stream *s, struct journal *j)
{
    static struct msg batch[STREAM_ROOM];
    for (int n; (n = stream_read(s, batch, STREAM_ROOM)) > 0;)
        for (int at = 0; at < n;) {
            at += (int)journal_append(j, batch + at, (size_t)(n - at));
            journal_poll(j, utc_ns());
            if (journal_state(j)->failing)
                return cli_fail(a, CLI_FAILED, "%s", journal_state(j)->failure.text);
        }
    return CLI_OK;
}

int cmd_import(const struct cli_args *args)
{
    struct error err;
    const char *out = args->positional[args->positional_count - 1];
    const struct settings *set = &args->settings;
    struct stream_options so = {.sources = args->positional,
                                .n_sources = (unsigned)args->positional_count - 1,
                                .rules = cli_text(args, "rules", NULL),
                                .history = cli_text(args, "history", NULL),
                                .attributes = cli_text(args, "attributes", NULL),
                                .first_seq = 1,
                                .settings = set,
                                .log = log_line,
                                .log_ctx = (void *)args};
    struct journal_options jo = {.segment_bytes = (uint64_t)set->journal_segment_mb << 20,
                                 .block_bytes = (uint32_t)set->journal_block_kb << 10,
                                 .sync = JOURNAL_SYNC_NEVER,
                                 .compress_level =
                                     set->journal_compress ? (int)set->journal_compress_level : 0,
                                 .compress_all = true,
                                 .now_ns = utc_ns()};
    struct stream *s = stream_open(&so, &err);
    if (!s)
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    if (stream_is_capture(s) && so.rules) {
        stream_close(s);
        return cli_fail(args, CLI_USAGE,
                        "--rules: a capture is copied with its own rules; replay takes others");
    }
    struct journal *j = journal_open(out, &jo, &err);
    if (!j || journal_last_seq(j)) {
        stream_close(s);
        return j ? cli_fail(args, CLI_USAGE, "%s: holds messages already; expected a new directory", out)
                 : cli_fail(args, CLI_USAGE, "%s", err.text);
    }
    int code = copy(args, s, j);
    if (code == CLI_OK) {
        const struct journal_state *st = journal_state(j);
        uint64_t records = st->records;
        if (journal_flush(j, &err) < 0)
            code = cli_fail(args, CLI_FAILED, "%s", err.text);
        else
            fprintf(args->out, "%s: %" PRIu64 " messages, %" PRIu64 " bytes\n", out, records,
                    journal_state(j)->bytes);
    }
    if (journal_close(j, &err) < 0 && code == CLI_OK)
        code = cli_fail(args, CLI_FAILED, "%s", err.text);
    if (stream_failure(s) && code == CLI_OK)
        code = cli_fail(args, CLI_DAMAGED, "%s", stream_failure(s));
    stream_close(s);
    return code;
}
