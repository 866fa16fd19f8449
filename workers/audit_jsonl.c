/* The audit of the jsonl sink: FILE up to the length in FILE.cursor holds each alert before the cursor once,
 * in order; what lies behind that length is a batch that was not confirmed, or does not belong there. */
#include "workers/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct jsonl_audit {
    uint64_t length; /* of the file, as the cursor says */
};

static int jsonl_open(struct audit *a, struct audit_sink *s, struct error *err)
{
    char path[4096], line[256] = "", again[256];
    static struct jsonl_audit j;
    (void)a;
    snprintf(path, sizeof path, "%s.cursor", s->settings->sinks_jsonl);
    s->state = &j;
    j.length = 0;
    FILE *f = fopen(path, "re");
    if (!f && errno == ENOENT)
        return 0;
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    int e = errno;
    if (f)
        fclose(f);
    else
        return error_set(err, "cannot read %s: %s", path, strerror(e));
    line[n] = 0;
    s->found = sscanf(line, "ringtape cursor 1 outbox=%32[0-9a-f] offset=%" SCNu64 " length=%" SCNu64,
                      s->cursor.outbox_id, &s->cursor.offset, &j.length) == 3;
    snprintf(again, sizeof again, "ringtape cursor 1 outbox=%s offset=%" PRIu64 " length=%" PRIu64 "\n",
             s->cursor.outbox_id, s->cursor.offset, j.length);
    if (s->found && !strcmp(line, again))
        return 0;
    audit_find(a, s->stage[OUTBOX_ALERT],
               "%s: found '%.*s', expected 'ringtape cursor 1 outbox=… offset=… length=…'", path,
               (int)strcspn(line, "\n"), line);
    s->found = false;
    s->cursor = (struct sink_cursor){0};
    return 0;
}

/* Behind the cursor's length: events from the cursor on are a batch that was under way. */
static void read_tail(struct audit *a, struct audit_sink *s, const char *line, size_t len, bool torn,
                      const char *where)
{
    int64_t i = torn ? -1 : audit_event_of(a, line, len);
    if (torn || (i >= 0 && a->first + (uint64_t)i >= s->cursor.offset))
        return; /* it will be cut off, and delivered again */
    audit_sink_entry(a, s, OUTBOX_ALERT, line, len, where);
}

static void jsonl_read(struct audit *a, struct audit_sink *s)
{
    const struct jsonl_audit *j = s->state;
    const char *path = s->settings->sinks_jsonl;
    char *line = NULL, where[128];
    size_t room = 0;
    uint64_t at = 0, number = 0;
    int64_t last = -1;
    ssize_t n;
    FILE *f = fopen(path, "re");
    if (!f && s->cursor.offset > a->first)
        audit_find(a, s->stage[OUTBOX_ALERT], "%s: %s; expected what its cursor says: %" PRIu64 " bytes",
                   path, strerror(errno), j->length);
    for (; f && (n = getline(&line, &room, f)) > 0; at += (uint64_t)n) {
        bool torn = line[n - 1] != '\n';
        size_t len = (size_t)n - !torn;
        number++;
        snprintf(where, sizeof where, "line %" PRIu64 " (byte %" PRIu64 ")", number, at);
        if (at >= j->length) {
            if (a->alive)
                break; /* it is being written */
            read_tail(a, s, line, len, torn, where);
            continue;
        }
        if (torn || at + (uint64_t)n > j->length)
            audit_find(a, s->stage[OUTBOX_ALERT],
                       "%s is %s; the cursor says that whole lines end at byte %" PRIu64, where,
                       torn ? "torn" : "cut by the cursor", j->length);
        int64_t i = audit_event_of(a, line, len);
        if (i < 0 && last < 0)
            continue; /* from before this outbox: the sink appends to what there is */
        bool again = i >= 0 && s->times[i];
        i = audit_sink_entry(a, s, OUTBOX_ALERT, line, len, where);
        if (i >= 0 && i < last && !again)
            audit_find(a, s->stage[OUTBOX_ALERT],
                       "%s comes after the alert of event %" PRIu64 ", which is later", where,
                       a->first + (uint64_t)last);
        last = i > last ? i : last;
    }
    if (at < j->length)
        audit_find(a, s->stage[OUTBOX_ALERT],
                   "%s has %" PRIu64 " bytes, its cursor says %" PRIu64 ": it was cut or replaced", path, at,
                   j->length);
    free(line);
    if (f)
        fclose(f);
}

static const char *where(const struct settings *s)
{
    return s->sinks_jsonl;
}

const struct audit_sink_ops audit_jsonl = {.name = "jsonl",
                                           .stage = {[OUTBOX_ALERT] = "jsonl alerts"},
                                           .where = where,
                                           .open = jsonl_open,
                                           .read = jsonl_read};
