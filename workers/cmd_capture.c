/* ringtape capture info|cat|verify|compress|prune PATH: what a capture holds, whether it is sound; less of
 * it. */
#include "workers/cmd_capture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "core/attribute.h"
#include "core/decimal.h"
#include "core/parts.h"
#include "net/capture.h"
#include "net/journal.h"
#include "net/journal_format.h"
#include "net/journal_verify.h"

const struct cli_option cmd_capture_options[] = {
    {.name = "from",
     .arg = "TIME",
     .help = "cat: from this event time on (RFC 3339 or ns)",
     .kind = CLI_TEXT},
    {.name = "to", .arg = "TIME", .help = "cat: before this event time", .kind = CLI_TEXT},
    {.name = "symbols", .arg = "A,B", .help = "cat: only messages of these", .kind = CLI_TEXT},
    {.name = "types", .arg = "A,B", .help = "cat: only these types, such as trade,quote", .kind = CLI_TEXT},
    {.name = "before",
     .arg = "TIME",
     .help = "prune: segments whose messages are all from before this event time",
     .kind = CLI_TEXT},
    {.name = "keep-mb",
     .arg = "N",
     .help = "prune: the oldest segments, until N MiB are left",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = 1 << 30},
    {.name = "dry-run", .help = "prune: only say what would go"},
    {.name = "level",
     .arg = "N",
     .help = "compress: zstd's, 1 to 19 (default: journal.compress_level)",
     .kind = CLI_NUMBER,
     .min = 1,
     .max = 19},
    {.name = "json", .help = "info, verify: print it as JSON (cat always does, a line each)"},
    {0},
};

enum { NAMES_MAX = 1 << 20, BATCH = 4096 };

struct name {
    char text[64];
    uint8_t size_scale;
};

struct capture {
    const struct cli_args *args;
    const char *path;
    struct journal_reader *reader;
    struct name *name; /* by symbol id */
    uint32_t names;
    uint64_t count[MSG_TYPE_COUNT], first_seq, last_seq, symbols;
    int64_t first_ns, last_ns; /* of ticks */
    int64_t from_ns, to_ns;
};

static void learn_name(struct capture *c, const struct msg *m)
{
    if (m->symbol >= NAMES_MAX)
        return;
    if (m->symbol >= c->names) {
        uint32_t n = m->symbol * 2 + 64;
        c->name = realloc(c->name, n * sizeof *c->name);
        if (!c->name)
            abort();
        memset(c->name + c->names, 0, (n - c->names) * sizeof *c->name);
        c->names = n;
    }
    c->symbols += !c->name[m->symbol].text[0];
    memset(&c->name[m->symbol], 0, sizeof *c->name);
    msg_get(m, MSG_FIRST_BYTES, c->name[m->symbol].text, m->sym.name_len);
    c->name[m->symbol].size_scale = m->sym.size_scale;
}

static const struct name *name_of(const struct capture *c, uint32_t id)
{
    static const struct name unknown = {"?", 0};
    return id < c->names && c->name[id].text[0] ? &c->name[id] : &unknown;
}

static void see(struct capture *c, const struct msg *m)
{
    if (m->type == MSG_SYMBOL)
        learn_name(c, m);
    if (!m->seq)
        return; /* in force where the capture starts, and no message of it */
    c->count[m->type]++;
    if (!c->first_seq)
        c->first_seq = m->seq;
    c->last_seq = m->seq;
    if (msg_is_tick(m)) {
        c->first_ns = m->event_ns < c->first_ns ? m->event_ns : c->first_ns;
        c->last_ns = m->event_ns > c->last_ns ? m->event_ns : c->last_ns;
    }
}

static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (!strncmp(p, word, n) && (p[n] == ',' || p[n] == 0))
            return true;
    return list == NULL;
}

static void put_decimal(FILE *out, const char *key, int64_t value_e9)
{
    char text[DECIMAL_TEXT_MAX];
    decimal_format_e9(value_e9, text);
    fprintf(out, ",\"%s\":%s", key, text);
}

static void put_size(FILE *out, const char *key, uint64_t size, unsigned scale)
{
    char text[DECIMAL_TEXT_MAX];
    decimal_format(size, scale, text);
    fprintf(out, ",\"%s\":%s", key, text);
}

/* The bytes of a RULE's or SETTING's part, as a JSON string. */
static void put_part(FILE *out, const struct msg *m)
{
    char bytes[MSG_PAYLOAD_MAX];
    uint32_t len = m->part.len;
    msg_get(m, MSG_FIRST_BYTES, bytes, len);
    json_t *s = m->type == MSG_SETTING ? json_stringn(bytes, len) : NULL;
    char *text = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
    fprintf(out, ",\"id\":%u,\"bytes\":%u", m->part.id, len);
    if (text)
        fprintf(out, ",\"text\":%s", text);
    free(text);
    json_decref(s);
}

static bool is_of_symbol(const struct msg *m)
{
    return msg_is_tick(m) || m->type == MSG_SYMBOL || m->type == MSG_HISTORY_BAR || m->type == MSG_ATTR;
}

static void put_attributes(FILE *out, const struct msg *m)
{
    struct attributes a;
    char text[DECIMAL_TEXT_MAX];
    if (!attributes_read(m, &a))
        return;
    for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++) {
        const struct attribute_row *row = &attribute_rows[i];
        if (a.value[i] == ATTR_UNKNOWN)
            continue;
        if (row->kind == ATTRIBUTE_TEXT) {
            json_t *s = json_string(a.text[i]);
            char *quoted = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
            fprintf(out, ",\"%s\":%s", row->column, quoted ? quoted : "null");
            free(quoted);
            json_decref(s);
        } else if (row->kind == ATTRIBUTE_TIME) {
            decimal_format_time(a.value[i], text);
            fprintf(out, ",\"%s\":\"%s\"", row->column, text);
        } else {
            decimal_format_double(key_to_double(a.value[i]), text);
            fprintf(out, ",\"%s\":%s", row->column, text);
        }
    }
}

static void print(const struct capture *c, const struct msg *m)
{
    FILE *out = c->args->out;
    char time[DECIMAL_TEXT_MAX];
    const struct name *n = name_of(c, m->symbol);
    bool symbol = is_of_symbol(m);
    decimal_format_time(m->event_ns > 0 ? m->event_ns : 0, time);
    fprintf(out, "{\"seq\":%" PRIu64 ",\"type\":\"%s\"", m->seq, msg_type_name(m->type));
    if (symbol) {
        json_t *s = json_string(n->text);
        char *text = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
        fprintf(out, ",\"symbol\":%s", text ? text : "null");
        free(text);
        json_decref(s);
    }
    if (m->event_ns)
        fprintf(out, ",\"timestamp\":\"%s\"", time);
    if (m->type == MSG_TRADE) {
        put_decimal(out, "price", m->trade.price_e9);
        put_size(out, "size", m->trade.size, n->size_scale);
        if (m->trade.trade_id)
            fprintf(out, ",\"trade_id\":%" PRIu64, m->trade.trade_id);
        if (m->flags & MSG_F_CORRECTION)
            fputs(",\"correction\":true", out);
    } else if (m->type == MSG_QUOTE) {
        put_decimal(out, "bid", m->quote.bid_e9);
        put_decimal(out, "ask", m->quote.ask_e9);
        put_size(out, "bid_size", m->quote.bid_size, n->size_scale);
        put_size(out, "ask_size", m->quote.ask_size, n->size_scale);
    } else if (m->type == MSG_CANCEL) {
        fprintf(out, ",\"trade_id\":%" PRIu64, m->cancel.trade_id);
    } else if (m->type == MSG_STATUS) {
        fprintf(out, ",\"halted\":%s", m->status.kind == STATUS_HALTED ? "true" : "false");
    } else if (m->type == MSG_CLOCK) {
        fprintf(out, ",\"bucket\":%u", m->symbol);
    } else if (m->type == MSG_SYMBOL) {
        fprintf(out, ",\"bucket\":%u,\"size_scale\":%u,\"calendar\":%u", m->sym.bucket, m->sym.size_scale,
                m->sym.calendar);
    } else if (m->type == MSG_ATTR) {
        put_attributes(out, m);
    } else if (m->type == MSG_RULE || m->type == MSG_SETTING) {
        put_part(out, m);
    }
    if (m->recv_ns)
        fprintf(out, ",\"recv_ns\":%" PRId64, m->recv_ns);
    fputs("}\n", out);
}

static bool wanted(const struct capture *c, const struct msg *m)
{
    const char *symbols = cli_text(c->args, "symbols", NULL), *types = cli_text(c->args, "types", NULL);
    if (m->event_ns < c->from_ns || m->event_ns >= c->to_ns || !in_list(types, msg_type_name(m->type)))
        return false;
    if (!symbols)
        return true;
    bool symbol = is_of_symbol(m);
    return symbol && in_list(symbols, name_of(c, m->symbol)->text);
}

static int read_all(struct capture *c, bool cat)
{
    static struct msg batch[BATCH];
    struct error err;
    int64_t n;
    while ((n = journal_read(c->reader, batch, BATCH, &err)) > 0)
        for (int64_t at = 0; at < n; at += msg_slot_count(&batch[at])) {
            const char *fault = capture_record_fault(&batch[at]);
            if (fault)
                return cli_fail(c->args, CLI_DAMAGED,
                                "%s: message %" PRIu64
                                " is a %s that nobody can use: %s; it was not ringtape "
                                "that wrote it",
                                c->path, batch[at].seq, msg_type_name(batch[at].type), fault);
            see(c, &batch[at]);
            if (cat && wanted(c, &batch[at]))
                print(c, &batch[at]);
        }
    return n < 0 ? cli_fail(c->args, CLI_DAMAGED, "%s", err.text) : CLI_OK;
}

static void info_json(const struct capture *c, bool damaged)
{
    const struct journal_info *i = journal_reader_info(c->reader);
    json_t *messages = json_object();
    uint64_t total = 0;
    for (unsigned t = 0; t < MSG_TYPE_COUNT; t++)
        if (c->count[t]) {
            json_object_set_new(messages, msg_type_name(t), json_integer((json_int_t)c->count[t]));
            total += c->count[t];
        }
    char first[DECIMAL_TEXT_MAX] = "", last[DECIMAL_TEXT_MAX] = "", node[2 * SEGMENT_ID_BYTES + 1];
    if (c->last_ns != INT64_MIN) {
        decimal_format_time(c->first_ns, first);
        decimal_format_time(c->last_ns, last);
    }
    segment_id_text(i->node, node);
    json_t *o = json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:s,s:s,s:f,s:b,s:s,s:b}", "node", node,
                          "symbols", (json_int_t)c->symbols, "segments", (json_int_t)i->segments,
                          "compressed", (json_int_t)i->compressed, "blocks", (json_int_t)i->blocks, "bytes",
                          (json_int_t)i->bytes, "messages", messages, "first_seq", (json_int_t)c->first_seq,
                          "last_seq", (json_int_t)c->last_seq, "first_time", first, "last_time", last,
                          "bytes_per_message", total ? (double)i->bytes / (double)total : 0.0, "sealed",
                          i->sealed, "note", journal_reader_note(c->reader), "damaged", damaged);
    json_dumpf(o, c->args->out, JSON_COMPACT);
    fputc('\n', c->args->out);
    json_decref(o);
}

static void info_text(const struct capture *c)
{
    const struct journal_info *i = journal_reader_info(c->reader);
    FILE *out = c->args->out;
    uint64_t total = 0;
    char time[DECIMAL_TEXT_MAX];
    fprintf(out, "%-12s %s\n", "capture", c->path);
    fprintf(out, "%-12s %" PRIu64 " (%s, %" PRIu64 " compressed), %" PRIu64 " blocks, %" PRIu64 " bytes\n",
            "segments", i->segments, i->sealed ? "sealed" : "open or cut off", i->compressed, i->blocks,
            i->bytes);
    fprintf(out, "%-12s %" PRIu64 " to %" PRIu64 "\n", "seq", c->first_seq, c->last_seq);
    if (c->last_ns != INT64_MIN) {
        decimal_format_time(c->first_ns, time);
        fprintf(out, "%-12s %s to ", "time", time);
        decimal_format_time(c->last_ns, time);
        fprintf(out, "%s\n", time);
    }
    for (unsigned t = 0; t < MSG_TYPE_COUNT; t++) {
        total += c->count[t];
        if (c->count[t])
            fprintf(out, "%-12s %" PRIu64 "\n", msg_type_name(t), c->count[t]);
    }
    fprintf(out, "%-12s %" PRIu64 "\n", "symbols", c->symbols);
    fprintf(out, "%-12s %" PRIu64 ", %.1f bytes each\n", "messages", total,
            total ? (double)i->bytes / (double)total : 0.0);
    if (journal_reader_note(c->reader)[0])
        fprintf(out, "%-12s %s\n", "note", journal_reader_note(c->reader));
}

static int read_capture(const struct cli_args *args)
{
    struct capture c = {.args = args,
                        .path = args->positional[1],
                        .first_ns = INT64_MAX,
                        .last_ns = INT64_MIN,
                        .from_ns = INT64_MIN,
                        .to_ns = INT64_MAX};
    struct error err;
    bool cat = !strcmp(args->positional[0], "cat");
    if (cli_time(args, "from", &c.from_ns) || cli_time(args, "to", &c.to_ns))
        return CLI_USAGE;
    struct journal_reader_options o = {.in_force = true}; /* for their names */
    if (cat && (c.from_ns != INT64_MIN || c.to_ns != INT64_MAX)) {
        o.skim = true;
        o.from_ns = c.from_ns;
        o.to_ns = c.to_ns;
    }
    if (!(c.reader = journal_reader_open(c.path, &o, &err)))
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    int code = read_all(&c, cat);
    if (!cat && cli_has(args, "json"))
        info_json(&c, code != CLI_OK);
    else if (!cat)
        info_text(&c);
    journal_reader_close(c.reader);
    free(c.name);
    return code;
}

struct problems {
    const struct cli_args *args;
    json_t *list; /* NULL: as text */
};

static void tell_problem(void *ctx, const char *file, uint64_t offset, const char *what)
{
    struct problems *p = ctx;
    if (p->list)
        json_array_append_new(
            p->list, json_pack("{s:s,s:I,s:s}", "file", file, "offset", (json_int_t)offset, "what", what));
    else
        fprintf(p->args->out, "%s: offset %" PRIu64 ": %s\n", file, offset, what);
}

static int verify(const struct cli_args *args)
{
    struct problems p = {args, cli_has(args, "json") ? json_array() : NULL};
    struct journal_verified v;
    struct error err;
    const char *path = args->positional[1];
    if (journal_verify(path, tell_problem, &p, &v, &err)) {
        json_decref(p.list);
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    }
    if (p.list) {
        json_t *o =
            json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:o}", "sound", v.problems == 0, "segments",
                      (json_int_t)v.segments, "compressed", (json_int_t)v.compressed, "bytes",
                      (json_int_t)v.bytes, "blocks", (json_int_t)v.blocks, "messages", (json_int_t)v.records,
                      "first_seq", (json_int_t)v.first_seq, "last_seq", (json_int_t)v.last_seq, "missing",
                      (json_int_t)v.missing, "note", v.note.text, "problems", p.list);
        json_dumpf(o, args->out, JSON_COMPACT);
        fputc('\n', args->out);
        json_decref(o);
    } else {
        fprintf(args->out,
                "%s: %s; %" PRIu64 " messages (seq %" PRIu64 " to %" PRIu64 ") in %" PRIu64
                " blocks of %" PRIu64 " segments\n",
                path, v.problems ? "DAMAGED" : "sound", v.records, v.first_seq, v.last_seq, v.blocks,
                v.segments);
        if (v.note.text[0])
            fprintf(args->out, "%s\n", v.note.text);
    }
    if (!v.problems)
        return CLI_OK;
    return cli_fail(args, CLI_DAMAGED,
                    "%s: %" PRIu64 " problems, %" PRIu64
                    " messages missing; restore the files from a copy, or go on without what is damaged",
                    path, v.problems, v.missing);
}

/* The directory for what changes it: only while no writer has it. `lock` < 0 afterwards if it is not locked.
 */
static int open_for_change(const struct cli_args *args, bool change, int *dir_fd, int *lock)
{
    struct error err;
    const char *dir = args->positional[1];
    uint64_t *numbers;
    *lock = -1;
    *dir_fd = segment_dir_open(dir, false, &err);
    if (*dir_fd < 0)
        return cli_fail(args, CLI_USAGE, "%s", err.text);
    int n = segment_list(dir, JOURNAL_SUFFIX, &numbers, &err);
    if (n >= 0)
        free(numbers);
    if (n == 0)
        error_set(&err, "%s: no capture there: expected files such as 00000000000000000001" JOURNAL_SUFFIX,
                  dir);
    if (n > 0 && (!change || (*lock = segment_lock(dir, "capture", &err)) >= 0))
        return CLI_OK;
    close(*dir_fd);
    return cli_fail(args, CLI_USAGE, "%s", err.text);
}

static void close_after_change(int dir_fd, int lock)
{
    close(dir_fd);
    if (lock >= 0)
        close(lock);
}

static int prune(const struct cli_args *args)
{
    bool dry = cli_has(args, "dry-run");
    struct journal_prune_rule rule = {.bytes_max = (uint64_t)cli_number(args, "keep-mb", 0) << 20,
                                      .keep_from_seq = UINT64_MAX,
                                      .last_number = UINT64_MAX,
                                      .dry_run = dry};
    struct journal_keep_state s = {0};
    struct error err;
    uint64_t keeps_from = 0;
    int dir_fd, lock;
    if (cli_time(args, "before", &rule.event_before_ns))
        return CLI_USAGE;
    if (!rule.bytes_max && !rule.event_before_ns)
        return cli_fail(args, CLI_USAGE, "prune: expected --before TIME or --keep-mb N");
    int code = open_for_change(args, !dry, &dir_fd, &lock);
    if (code)
        return code;
    const char *dir = args->positional[1];
    if (journal_prune(dir, dir_fd, &rule, &s, &keeps_from, &err))
        code = cli_fail(args, CLI_FAILED, "%s", err.text);
    fprintf(args->out,
            "%s: %s %" PRIu64 " segments, %" PRIu64 " bytes; the first that stays is %" PRIu64 "\n", dir,
            dry ? "would delete" : "deleted", s.pruned, s.pruned_bytes, keeps_from);
    close_after_change(dir_fd, lock);
    return code;
}

static int compress(const struct cli_args *args)
{
    int level = (int)cli_number(args, "level", args->settings.journal_compress_level);
    const char *dir = args->positional[1];
    struct journal_keep_state s = {0};
    struct error err;
    uint64_t *numbers;
    int dir_fd, lock, code = open_for_change(args, true, &dir_fd, &lock);
    if (code)
        return code;
    int n = segment_list(dir, JOURNAL_SUFFIX, &numbers, &err);
    if (n < 0)
        code = cli_fail(args, CLI_FAILED, "%s", err.text);
    for (int i = 0; i < n; i++) {
        int rc = journal_compress(dir, dir_fd, numbers[i], level, NULL, &s, &err);
        if (rc < 0)
            code = cli_fail(args, rc == -2 ? CLI_DAMAGED : CLI_FAILED, "%s", err.text);
        if (rc == -1)
            break; /* the next ones would fare no better */
    }
    if (n > 0)
        free(numbers);
    fprintf(args->out, "%s: compressed %" PRIu64 " segments, %" PRIu64 " bytes to %" PRIu64 "\n", dir,
            s.compressed, s.plain_bytes, s.zip_bytes);
    close_after_change(dir_fd, lock);
    return code;
}

int cmd_capture(const struct cli_args *args)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli_args *args);
    } verbs[] = {{"info", read_capture},
                 {"cat", read_capture},
                 {"verify", verify},
                 {"compress", compress},
                 {"prune", prune}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(args->positional[0], verbs[i].name))
            return verbs[i].run(args);
    return cli_fail(args, CLI_USAGE,
                    "'%s', expected: capture info, cat, verify, compress or prune, and a PATH",
                    args->positional[0]);
}
