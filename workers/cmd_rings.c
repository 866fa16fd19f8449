#include "workers/cmd_rings.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "workers/observe.h"

const struct cli_option cmd_rings_options[] = {
    OBSERVE_DIR_OPTION,
    {.name = "watch", .help = "go on, a table each interval, until ctrl-C"},
    {.name = "interval",
     .arg = "S",
     .help = "seconds between two tables of --watch (1)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = 3600},
    {.name = "json", .help = "print an object for each reading, one a line"},
    {0},
};

enum { ONCE_MS = 200 }; /* over which the rate of a single table is taken */

static void print_table(FILE *out, const char *dir, const struct observe_sample *before,
                        const struct observe_sample *now)
{
    struct text t = {0};
    if (!now->alive)
        text_printf(&t, "%s: not running: this is what process %d left behind\n", dir, now->pid);
    observe_ring_heading(&t);
    text_append(&t, "\n", 1);
    for (uint32_t i = 0; i < now->rings; i++) {
        observe_ring_row(&t, &now->ring[i],
                         observe_rate(before->ring[i].passed, now->ring[i].passed, before, now));
        text_append(&t, "\n", 1);
    }
    fwrite(t.data, 1, t.len, out);
    text_free(&t);
}

static void print_json(FILE *out, const struct observe_sample *before, const struct observe_sample *now)
{
    struct text t = {0};
    text_printf(&t, "{\"running\":%s,\"pid\":%d,\"rings\":[", now->alive ? "true" : "false", now->pid);
    for (uint32_t i = 0; i < now->rings; i++) {
        text_append(&t, ",", i > 0);
        observe_ring_json(&t, &now->ring[i],
                          observe_rate(before->ring[i].passed, now->ring[i].passed, before, now));
    }
    text_printf(&t, "]}\n");
    fwrite(t.data, 1, t.len, out);
    text_free(&t);
}

static void wait_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

int cmd_rings(const struct cli_args *args)
{
    static struct observe_sample sample[2];
    const char *dir = observe_dir(args);
    if (!dir)
        return CLI_USAGE;
    struct workspace *ws = observe_join(args, dir);
    if (!ws)
        return CLI_FAILED;
    bool watch = cli_has(args, "watch"), json = cli_has(args, "json");
    bool screen = watch && !json && isatty(fileno(args->out));
    int64_t ms = watch ? cli_number(args, "interval", 1) * 1000 : ONCE_MS;
    unsigned turn = 0;
    observe_read(ws, &sample[turn]);
    do {
        const struct observe_sample *before = &sample[turn];
        wait_ms(before->alive ? ms : 0); /* nothing moves any more where nobody runs */
        observe_read(ws, &sample[turn ^= 1]);
        if (screen)
            fputs("\033[H\033[J", args->out);
        if (json)
            print_json(args->out, before, &sample[turn]);
        else
            print_table(args->out, dir, before, &sample[turn]);
    } while (watch && sample[turn].alive && fflush(args->out) == 0);
    workspace_leave(ws);
    return CLI_OK;
}
