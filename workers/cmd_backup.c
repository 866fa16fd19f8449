#include "workers/cmd_backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/bucket.h"
#include "core/decimal.h"
#include "core/parts.h"
#include "core/version.h"
#include "net/attributes.h"
#include "net/capture.h"
#include "net/checkpoint.h"
#include "net/journal.h"
#include "net/journal_format.h"
#include "net/outbox.h"
#include "net/rules_file.h"
#include "workers/backup_files.h"
#include "workers/instance.h"

const struct cli_option cmd_backup_options[] = {
    {.name = "json", .help = "print what was copied as JSON"},
    {0},
};

enum { WAIT_MS = 10000, TRIES = 5, BATCH = 4096 };

struct backup {
    const struct cli_args *args;
    const char *dir;
    char to[BACKUP_PATH - 128]; /* TARGET.partial */
    bool alive;
    void *staging; /* a copy of what a killed instance left; NULL: none */
    size_t staging_bytes;
    char outbox_id[64];
    uint64_t outbox_first, outbox_next, outbox_seq; /* seq: the highest */
    /* Of the journal: */
    uint64_t first_seq, last_seq;
    bool ended;
    uint8_t node_id[SEGMENT_ID_BYTES];
    char node[2 * SEGMENT_ID_BYTES + 1];
    struct parts parts, setting_parts;
    json_t *rules;                                 /* in the order of their slots */
    char setting[SETTING_COUNT][SETTING_TEXT_MAX]; /* "" = not in the journal */
    json_t *files;
    uint64_t bytes;
};

static int64_t now_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

/* DIR/name -> TARGET.partial/name. As backup_copy. */
static int copy(struct backup *b, const char *name, struct error *err)
{
    char from[BACKUP_PATH], to[BACKUP_PATH];
    struct backup_sum sum;
    snprintf(from, sizeof from, "%s/%s", b->dir, name);
    snprintf(to, sizeof to, "%s/%s", b->to, name);
    return backup_copy(from, to, UINT64_MAX, &sum, err);
}

static int make_dir(const struct backup *b, const char *name, struct error *err)
{
    char path[BACKUP_PATH];
    snprintf(path, sizeof path, "%s%s%s", b->to, *name ? "/" : "", name);
    return mkdir(path, 0750) ? error_set(err, "%s: cannot make it: %s", path, strerror(errno)) : 0;
}

/* All segments of DIR/folder. A list that was true is made again when a file went meanwhile: retention
 * deletes the oldest. */
static int copy_segments(struct backup *b, const char *folder, const char *suffix, struct error *err)
{
    char path[BACKUP_PATH], name[128], file[SEGMENT_NAME_BYTES];
    snprintf(path, sizeof path, "%s/%s", b->dir, folder);
    for (int try = 0; try < TRIES; try++) {
        uint64_t *numbers;
        int n = segment_list(path, suffix, &numbers, err), rc = n < 0 ? -1 : 0;
        for (int i = 0; i < n && rc == 0; i++) {
            segment_name(file, numbers[i], suffix);
            snprintf(name, sizeof name, "%s/%s", folder, file);
            rc = copy(b, name, err);
        }
        free(numbers);
        if (rc <= 0)
            return rc;
        snprintf(path, sizeof path, "%s/%s", b->to, folder);
        backup_remove(path);
        if (make_dir(b, folder, err))
            return -1;
        snprintf(path, sizeof path, "%s/%s", b->dir, folder);
    }
    return error_set(err, "%s: segments vanish while they are copied: raise the retention", path);
}

/* The jsonl sink: its cursor, and of its file what the cursor covers. */
static int copy_jsonl(struct backup *b, struct error *err)
{
    const char *jsonl = b->args->settings.sinks_jsonl;
    char path[BACKUP_PATH], id[64];
    struct backup_sum sum;
    uint64_t offset, length;
    size_t n;
    snprintf(path, sizeof path, "%s.cursor", jsonl);
    if (!jsonl[0] || access(path, F_OK))
        return 0;
    char *line = backup_read(path, &n, err);
    if (!line)
        return -1;
    int got = sscanf(line, "ringtape cursor 1 outbox=%32[0-9a-f] offset=%" SCNu64 " length=%" SCNu64, id,
                     &offset, &length);
    if (got != 3 || strcmp(id, b->outbox_id)) {
        got =
            error_set(err,
                      "%s: found '%.*s', expected the cursor of outbox %s: start the instance once, so that "
                      "it is settled, or leave out sinks.jsonl",
                      path, (int)strcspn(line, "\n"), line, b->outbox_id);
        free(line);
        return got;
    }
    snprintf(path, sizeof path, "%s/alerts.jsonl.cursor", b->to);
    int rc = backup_write(path, line, n, err);
    free(line);
    snprintf(path, sizeof path, "%s/alerts.jsonl", b->to);
    if (rc == 0 && (rc = backup_copy(jsonl, path, length, &sum, err)) == 0 && sum.bytes < length)
        rc = 1;
    return rc == 1 ? error_set(err, "%s: it is shorter than its cursor says (%" PRIu64 " bytes): it was cut",
                               jsonl, length)
                   : rc;
}

static int copy_dead_letter(void *ctx, const char *path, struct error *err)
{
    char name[BACKUP_PATH];
    snprintf(name, sizeof name, "dead-letters/%s", path);
    return copy(ctx, name, err) < 0 ? -1 : 0;
}

static int copy_dead_letters(struct backup *b, struct error *err)
{
    char path[BACKUP_PATH];
    snprintf(path, sizeof path, "%s/dead-letters", b->dir);
    if (access(path, F_OK))
        return 0;
    return make_dir(b, "dead-letters", err) ? -1 : backup_walk(path, copy_dead_letter, b, err);
}

/* Copied before the outbox and the journal, which then hold all that they stand on. */
static int copy_checkpoint(void *ctx, const char *path, struct error *err)
{
    char name[BACKUP_PATH];
    snprintf(name, sizeof name, "checkpoints/%s", path);
    return copy(ctx, name, err) < 0 ? -1 : 0; /* one that its writer took away meanwhile is left out */
}

static int copy_checkpoints(struct backup *b, struct error *err)
{
    char path[BACKUP_PATH];
    snprintf(path, sizeof path, "%s/checkpoints", b->dir);
    if (access(path, F_OK))
        return 0;
    return make_dir(b, "checkpoints", err) ? -1 : backup_walk(path, copy_checkpoint, b, err);
}

/* Can a scanner go on from the copies? Where retention has taken away the journal's first messages, the
 * checkpoints must tell of them. */
static bool is_covered(const struct backup *b)
{
    char path[BACKUP_PATH];
    struct error note;
    bool covered = true;
    if (b->first_seq <= 1)
        return true;
    snprintf(path, sizeof path, "%s/checkpoints", b->to);
    struct checkpoint_set *set = checkpoint_read(path, b->node_id, b->last_seq, &note);
    for (uint32_t k = 0; set && k < BUCKET_COUNT; k++)
        covered &= checkpoint_bucket_seq(set, k) + 1 >= b->first_seq;
    checkpoint_free(set);
    return set && covered;
}

/* Opened for append, the copy loses a torn tail, and is seen to be whole. */
static int settle_outbox(struct backup *b, struct error *err)
{
    char path[BACKUP_PATH], lock[BACKUP_PATH + 8];
    struct outbox_record r;
    int got;
    snprintf(path, sizeof path, "%s/outbox", b->to);
    snprintf(lock, sizeof lock, "%s/lock", path);
    struct outbox *o = outbox_open(path, UINT64_C(1) << 26, NULL, err);
    if (!o)
        return -1;
    uint64_t lost = outbox_lost(o);
    b->outbox_next = outbox_next_offset(o);
    outbox_close(o);
    unlink(lock);
    if (lost)
        return error_set(err, "%s/outbox: its last %" PRIu64 " events are gone: it is damaged", b->dir, lost);
    struct outbox_reader *reader = outbox_reader_open(path, 0, &b->outbox_first, err);
    if (!reader)
        return -1;
    while ((got = outbox_read(reader, &r, err)) > 0)
        b->outbox_seq = r.seq > b->outbox_seq ? r.seq : b->outbox_seq;
    outbox_reader_close(reader);
    return got;
}

static int copy_outbox(struct backup *b, struct error *err)
{
    int rc = make_dir(b, "outbox", err);
    /* `committed` before the segments: it may say less than they have, never more */
    static const char *const names[] = {"outbox/id", "outbox/committed"};
    for (int i = 0; i < 2 && rc == 0; i++)
        if ((rc = copy(b, names[i], err)) == 1)
            rc = error_set(err, "%s/%s: missing; expected the directory of an instance", b->dir, names[i]);
    return rc || copy_segments(b, "outbox", ".rto", err) ? -1 : settle_outbox(b, err);
}

/* Behind the journal: what that has of rules is in it. A run of an older version has none. */
static int copy_rules_log(struct backup *b, struct error *err)
{
    return copy(b, "rules.log", err) < 0 ? -1 : 0;
}

/* If the run has some. */
static int copy_attributes(struct backup *b, struct error *err)
{
    return copy(b, ATTRIBUTES_AT_FIRST, err) < 0 || copy(b, ATTRIBUTES_NOW, err) < 0 ? -1 : 0;
}

/* Waits until the journal's files hold what the outbox is made of: while the instance runs they may be a
 * moment behind. */
static int wait_for_journal(struct backup *b, struct error *err)
{
    static struct msg batch[BATCH];
    char path[BACKUP_PATH];
    int64_t n, deadline = now_ns(CLOCK_MONOTONIC) + WAIT_MS * INT64_C(1000000);
    uint64_t seq = 0;
    snprintf(path, sizeof path, "%s/capture", b->dir);
    if (!b->outbox_seq || b->staging)
        return 0;
    struct journal_reader_options o = {.from_seq = b->outbox_seq, .live = true};
    struct journal_reader *r = journal_reader_open(path, &o, err);
    if (!r)
        return -1;
    do {
        while ((n = journal_read(r, batch, BATCH, err)) > 0)
            seq = batch[n - 1].seq;
        if (n == 0 && seq < b->outbox_seq && b->alive)
            nap();
    } while (n == 0 && seq < b->outbox_seq && b->alive && now_ns(CLOCK_MONOTONIC) < deadline);
    journal_reader_close(r);
    if (n == 0 && seq < b->outbox_seq)
        return error_set(
            err, "%s: ends before message %" PRIu64 ", of which the outbox has events already; %s", path,
            b->outbox_seq,
            b->alive ? "it cannot be written: see the instance's log"
                     : "its tail was lost: start the instance again, so that its sources give it "
                       "anew, then make the backup");
    return n < 0 ? -1 : 0;
}

static void see_rule(struct backup *b, const struct msg *m)
{
    struct rule r;
    if (parts_add(&b->parts, m) <= 0 || rule_decode(b->parts.bytes, b->parts.len, &r, NULL) < 0)
        return;
    json_t *symbols = json_array();
    for (uint32_t at = 0; at < r.symbols_len;) {
        const char *end = memchr(r.symbols + at, ',', r.symbols_len - at);
        uint32_t n = end ? (uint32_t)(end - r.symbols) - at : r.symbols_len - at;
        json_array_append_new(symbols, json_stringn(r.symbols + at, n));
        at += n + 1;
    }
    json_t *o =
        json_pack("{s:s,s:s,s:I,s:b,s:s,s:f,s:s%}", "id", r.id, "name", r.name, "version",
                  (json_int_t)r.version, "enabled", r.enabled, "trigger", rule_trigger_names[r.trigger],
                  "cooldown", (double)r.cooldown_ns / 1e9, "expr", r.expr, (size_t)r.expr_len);
    if (o && json_array_size(symbols))
        json_object_set(o, "symbols", symbols);
    if (o && r.shadow)
        json_object_set_new(o, "mode", json_string("shadow"));
    if (o && r.sessions) {
        json_t *sessions = json_array();
        for (unsigned k = SESSION_PREMARKET; k < SESSION_KIND_COUNT; k++)
            if (r.sessions >> k & 1)
                json_array_append_new(sessions, json_string(session_names[k]));
        json_object_set_new(o, "sessions", sessions);
    }
    if (o && r.expires_ns) {
        char time[DECIMAL_TEXT_MAX];
        json_object_set_new(o, "expires_at", json_stringn(time, decimal_format_time(r.expires_ns, time)));
    }
    json_decref(symbols);
    for (size_t i = 0; o && i < json_array_size(b->rules); i++)
        if (json_equal(json_object_get(json_array_get(b->rules, i), "id"), json_object_get(o, "id"))) {
            json_array_set_new(b->rules, i, o); /* a later version */
            return;
        }
    if (o)
        json_array_append_new(b->rules, o);
}

static void see_setting(struct backup *b, const struct msg *m)
{
    if (parts_add(&b->setting_parts, m) <= 0)
        return;
    char *name = (char *)b->setting_parts.bytes, *value = strchr(name, '=');
    if (!value)
        return; /* a calendar's day */
    *value++ = 0;
    int id = setting_find(name);
    if (id >= 0)
        snprintf(b->setting[id], sizeof b->setting[id], "%s", value);
}

/* Opened for append, the copy loses a torn tail and is sealed; then it is read from end to end. */
static int settle_journal(struct backup *b, struct error *err)
{
    static struct msg batch[BATCH];
    char path[BACKUP_PATH], lock[BACKUP_PATH + 8];
    int64_t n;
    snprintf(path, sizeof path, "%s/capture", b->to);
    snprintf(lock, sizeof lock, "%s/lock", path);
    struct journal_options o = {.now_ns = now_ns(CLOCK_REALTIME),
                                .blocking = true,
                                .staging = b->staging,
                                .staging_bytes = b->staging_bytes};
    struct journal *j = journal_open(path, &o, err);
    uint64_t last_seq = j ? journal_last_seq(j) : 0;
    if (!j || journal_close(j, err) < 0)
        return -1;
    unlink(lock);
    if (!last_seq && !b->outbox_seq)
        return 0; /* it has only just begun */
    struct journal_reader *r =
        journal_reader_open(path, &(struct journal_reader_options){.in_force = true}, err);
    if (!r)
        return -1;
    while ((n = journal_read(r, batch, BATCH, err)) > 0)
        for (int64_t at = 0; at < n; at += msg_slot_count(&batch[at])) {
            const struct msg *m = &batch[at];
            if (m->type == MSG_RULE)
                see_rule(b, m);
            else if (m->type == MSG_SETTING)
                see_setting(b, m);
            b->ended = m->type == MSG_END;
            b->last_seq = m->seq ? m->seq : b->last_seq;
        }
    b->first_seq = journal_reader_info(r)->first_seq;
    memcpy(b->node_id, journal_reader_info(r)->node, sizeof b->node_id);
    segment_id_text(b->node_id, b->node);
    journal_reader_close(r);
    if (n == 0 && b->last_seq < b->outbox_seq)
        return error_set(err,
                         "%s/capture ends before message %" PRIu64 ", of which the outbox has events already",
                         b->dir, b->outbox_seq);
    return n < 0 ? -1 : 0;
}

/* rules.json and settings.ini: what a run of the same sources is to be given. */
static int write_in_force(struct backup *b, struct error *err)
{
    char path[BACKUP_PATH], *ini = NULL;
    const char *section = "";
    size_t len = 0;
    char *rules = json_dumps(b->rules, JSON_INDENT(1));
    snprintf(path, sizeof path, "%s/rules.json", b->to);
    int rc = rules ? backup_write(path, rules, strlen(rules), err) : error_set(err, "out of memory");
    struct rules_file *again = rules ? rules_file_parse(rules, strlen(rules), path, 0, err) : NULL;
    free(rules);
    if (!again)
        rc = -1;
    rules_file_free(again);
    FILE *out = open_memstream(&ini, &len);
    if (!out)
        abort();
    for (int id = 0; id < SETTING_COUNT; id++) {
        if (!b->setting[id][0])
            continue;
        if (strcmp(section, setting_table[id].section))
            fprintf(out, "[%s]\n", section = setting_table[id].section);
        fprintf(out, "%s = %s\n", setting_table[id].key, b->setting[id]);
    }
    fclose(out);
    snprintf(path, sizeof path, "%s/settings.ini", b->to);
    rc = rc ? rc : backup_write(path, ini, len, err);
    free(ini);
    return rc;
}

/* Of a journal's segment: its messages. */
static void add_seqs(json_t *o, const char *path)
{
    struct journal_file f;
    if (journal_file_open(&f, path, NULL) != JOURNAL_FILE_OPEN)
        return;
    if (f.sealed) {
        json_object_set_new(o, "first_seq", json_integer((json_int_t)f.footer.first_seq));
        json_object_set_new(o, "last_seq", json_integer((json_int_t)f.footer.last_seq));
    }
    journal_file_close(&f);
}

static int list_file(void *ctx, const char *name, struct error *err)
{
    struct backup *b = ctx;
    char path[BACKUP_PATH];
    struct backup_sum sum;
    snprintf(path, sizeof path, "%s/%s", b->to, name);
    if (backup_copy(path, NULL, UINT64_MAX, &sum, err))
        return -1;
    json_t *o =
        json_pack("{s:s,s:I,s:s}", "path", name, "bytes", (json_int_t)sum.bytes, "xxh3_128", sum.xxh3_128);
    if (!o)
        return error_set(err, "%s: found a file name that is not UTF-8", path);
    if (!strncmp(name, "capture/", 8))
        add_seqs(o, path);
    if (!strncmp(name, "outbox/", 7) && strstr(name, ".rto"))
        json_object_set_new(o, "first_offset", json_integer((json_int_t)strtoull(name + 7, NULL, 10)));
    json_array_append_new(b->files, o);
    b->bytes += sum.bytes;
    return 0;
}

static json_t *manifest_of(struct backup *b)
{
    return json_pack("{s:i,s:s,s:I,s:{s:s,s:I,s:I,s:b},s:{s:s,s:I,s:I,s:I},s:O}", "ringtape_backup",
                     BACKUP_FORMAT, "version", RINGTAPE_VERSION, "created_ns",
                     (json_int_t)now_ns(CLOCK_REALTIME), "journal", "node", b->node, "first_seq",
                     (json_int_t)b->first_seq, "last_seq", (json_int_t)b->last_seq, "ended", b->ended,
                     "outbox", "id", b->outbox_id, "first_offset", (json_int_t)b->outbox_first, "next_offset",
                     (json_int_t)b->outbox_next, "last_seq", (json_int_t)b->outbox_seq, "files", b->files);
}

static int read_id(struct backup *b, struct error *err)
{
    char path[BACKUP_PATH];
    size_t n;
    snprintf(path, sizeof path, "%s/outbox/id", b->dir);
    char *id = backup_read(path, &n, err);
    if (!id)
        return -1;
    snprintf(b->outbox_id, sizeof b->outbox_id, "%.*s", (int)strcspn(id, "\n"), id);
    free(id);
    return 0;
}

static int copy_all(struct backup *b, struct error *err)
{
    return read_id(b, err) || copy_checkpoints(b, err) || copy_dead_letters(b, err) || copy_jsonl(b, err) ||
                   copy_outbox(b, err) || wait_for_journal(b, err) || make_dir(b, "capture", err) ||
                   copy_segments(b, "capture", JOURNAL_SUFFIX, err) || copy_rules_log(b, err) ||
                   copy_attributes(b, err) || settle_journal(b, err)
               ? -1
               : 0;
}

/* Beside 0 and -1: of a run, retention was faster than the copying; there is no place for the backup. */
enum { TOO_LATE = -2, NO_TARGET = -3 };
static int make(struct backup *b, struct error *err)
{
    char path[BACKUP_PATH];
    if (copy_all(b, err))
        return -1;
    if (!is_covered(b)) {
        error_set(err,
                  "%s/capture begins with message %" PRIu64
                  ", and the checkpoints do not tell what came before: while a run is on, retention may have "
                  "gone on meanwhile, make the backup again; else this directory cannot be gone on with",
                  b->dir, b->first_seq);
        return b->alive ? TOO_LATE : -1;
    }
    if (write_in_force(b, err) || backup_walk(b->to, list_file, b, err))
        return -1;
    json_t *manifest = manifest_of(b);
    char *text = manifest ? json_dumps(manifest, JSON_INDENT(1)) : NULL;
    json_decref(manifest);
    if (!text)
        abort();
    snprintf(path, sizeof path, "%s/manifest.json", b->to);
    int rc = backup_write(path, text, strlen(text), err);
    free(text);
    return rc ? rc : backup_finish(b->to, b->args->positional[1], err);
}

static void report(const struct backup *b)
{
    const struct cli_args *args = b->args;
    if (cli_has(args, "json")) {
        json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:s}", "dir", b->dir, "target", args->positional[1],
                              "files", (json_int_t)json_array_size(b->files), "bytes", (json_int_t)b->bytes,
                              "last_seq", (json_int_t)b->last_seq, "next_offset", (json_int_t)b->outbox_next,
                              "outbox", b->outbox_id);
        json_dumpf(o, args->out, JSON_COMPACT);
        fputc('\n', args->out);
        json_decref(o);
        return;
    }
    fprintf(args->out,
            "%s: %zu files, %" PRIu64 " bytes: messages up to %" PRIu64 ", events before %" PRIu64
            " of outbox %s\n",
            args->positional[1], json_array_size(b->files), b->bytes, b->last_seq, b->outbox_next,
            b->outbox_id);
}

/* Does the instance run? What a killed one had not written to its journal is taken from its workspace. */
static void look_at_workspace(struct backup *b)
{
    struct error err;
    struct workspace *ws = workspace_join(b->dir, WORKSPACE_READ, instance_schema_hash(), &err);
    if (!ws)
        return;
    b->alive = workspace_alive(ws);
    const void *staging = b->alive ? NULL : workspace_object(ws, "staging", 0, &b->staging_bytes);
    if (staging) {
        b->staging = mmap(NULL, b->staging_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b->staging == MAP_FAILED)
            abort(); /* no memory */
        memcpy(b->staging, staging, b->staging_bytes);
    }
    workspace_leave(ws);
}

/* As make; b is made anew, and nothing stays of what fails. */
static int try_once(struct backup *b, const struct cli_args *args, struct error *err)
{
    *b = (struct backup){.args = args, .dir = args->positional[0]};
    if (backup_begin(args->positional[1], b->to, sizeof b->to, err) < 0)
        return NO_TARGET;
    b->rules = json_array();
    b->files = json_array();
    look_at_workspace(b);
    int rc = make(b, err);
    if (rc < 0)
        backup_remove(b->to);
    else
        report(b);
    if (b->staging)
        munmap(b->staging, b->staging_bytes);
    json_decref(b->rules);
    json_decref(b->files);
    return rc;
}

int cmd_backup(const struct cli_args *args)
{
    enum { TRIES = 5 };
    static struct backup b;
    struct error err;
    char path[BACKUP_PATH];
    int rc = TOO_LATE;
    snprintf(path, sizeof path, "%s/outbox/id", args->positional[0]);
    if (access(path, R_OK))
        return cli_fail(args, CLI_USAGE, "%s: %s; expected the directory of an instance", path,
                        strerror(errno));
    for (int i = 0; rc == TOO_LATE && i < TRIES; i++)
        rc = try_once(&b, args, &err);
    return rc == 0 ? CLI_OK : cli_fail(args, rc == NO_TARGET ? CLI_USAGE : CLI_FAILED, "%s", err.text);
}
