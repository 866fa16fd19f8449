/* ringtape restore TARGET DIR: the files of a backup, all checked against its manifest, as an instance of its
 * own: its outbox gets a new id, and what names the old one and is ours (the jsonl sink's cursor, the dead
 * letters) gets it too. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/outbox.h"
#include "workers/backup_files.h"
#include "workers/cmd_backup.h"

const struct cli_option cmd_restore_options[] = {
    {.name = "json", .help = "print what was restored as JSON"},
    {0},
};

enum { ID_TEXT = 32 };

struct restore {
    const struct cli_args *args;
    const char *from; /* the backup */
    char to[BACKUP_PATH - 128];
    json_t *manifest, *files;
    uint64_t bytes;
    char old_id[ID_TEXT + 1], new_id[ID_TEXT + 1];
    uint64_t next_offset;
};

static int read_manifest(struct restore *r, struct error *err)
{
    char path[BACKUP_PATH];
    json_error_t why;
    size_t n;
    int format = 0;
    const char *id = "";
    json_int_t next = 0;
    snprintf(path, sizeof path, "%s/manifest.json", r->from);
    if (access(path, F_OK))
        return error_set(err, "%s: missing: no backup, or half of one", path);
    char *text = backup_read(path, &n, err);
    if (!text)
        return -1;
    r->manifest = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (!r->manifest)
        return error_set(err, "%s:%d:%d: %s: damaged", path, why.line, why.column, why.text);
    if (json_unpack(r->manifest, "{s:i,s:{s:s,s:I},s:o}", "ringtape_backup", &format, "outbox", "id", &id,
                    "next_offset", &next, "files", &r->files) ||
        !json_is_array(r->files) || strlen(id) != ID_TEXT)
        return error_set(err, "%s: found no manifest of a backup: damaged", path);
    if (format != BACKUP_FORMAT)
        return error_set(err, "%s: found a backup of format %d, expected %d: use the ringtape that made it",
                         path, format, BACKUP_FORMAT);
    snprintf(r->old_id, sizeof r->old_id, "%s", id);
    r->next_offset = (uint64_t)next;
    return 0;
}

/* The file's row, or NULL. */
static const json_t *row_of(const struct restore *r, const char *name)
{
    size_t i;
    json_t *f;
    json_array_foreach(r->files, i, f)
    {
        const char *path = json_string_value(json_object_get(f, "path"));
        if (path && !strcmp(path, name))
            return f;
    }
    return NULL;
}

static int check_listed(void *ctx, const char *name, struct error *err)
{
    const struct restore *r = ctx;
    if (!strcmp(name, "manifest.json") || row_of(r, name))
        return 0;
    return error_set(err, "%s/%s: found a file that the manifest does not list; move it away", r->from, name);
}

/* Compares a file of the backup with its row, and copies it if `copy`. */
static int take_file(struct restore *r, json_t *row, bool copy, struct error *err)
{
    char from[BACKUP_PATH], to[BACKUP_PATH];
    const char *name, *sum;
    json_int_t bytes;
    struct backup_sum found;
    if (json_unpack(row, "{s:s,s:I,s:s}", "path", &name, "bytes", &bytes, "xxh3_128", &sum))
        return error_set(err, "%s/manifest.json: found a row without path, bytes or xxh3_128: damaged",
                         r->from);
    if (name[0] == '/' || strstr(name, "..") || strlen(name) > 100)
        return error_set(err, "%s/manifest.json: found the path '%.120s', expected one inside the backup",
                         r->from, name);
    if (copy && !strcmp(name, "outbox/id"))
        return 0; /* it gets a new one */
    snprintf(from, sizeof from, "%s/%s", r->from, name);
    snprintf(to, sizeof to, "%s/%s", r->to, name);
    for (char *slash = to + strlen(r->to) + 1; copy && (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir(to, 0750) && errno != EEXIST)
            return error_set(err, "cannot make %s: %s", to, strerror(errno));
    }
    int rc = backup_copy(from, copy ? to : NULL, UINT64_MAX, &found, err);
    if (rc < 0)
        return -1;
    if (rc > 0)
        return error_set(err, "%s: missing; the backup is not whole", from);
    if (found.bytes != (uint64_t)bytes || strcmp(found.xxh3_128, sum))
        return error_set(
            err, "%s: damaged: found %" PRIu64 " bytes with xxh3_128 %s, expected %" PRId64 " with %s", from,
            found.bytes, found.xxh3_128, (int64_t)bytes, sum);
    r->bytes += copy ? found.bytes : 0;
    return 0;
}

static int take_files(struct restore *r, bool copy, struct error *err)
{
    size_t i;
    json_t *row;
    json_array_foreach(r->files, i, row)
    {
        if (take_file(r, row, copy, err) < 0)
            return -1;
    }
    return 0;
}

/* The outbox without its id is given a new one as it is opened. */
static int renew_outbox(struct restore *r, struct error *err)
{
    char path[BACKUP_PATH], lock[BACKUP_PATH + 8];
    snprintf(path, sizeof path, "%s/outbox", r->to);
    snprintf(lock, sizeof lock, "%s/lock", path);
    struct outbox *o = outbox_open(path, UINT64_C(1) << 26, NULL, err);
    if (!o)
        return -1;
    snprintf(r->new_id, sizeof r->new_id, "%s", outbox_id(o));
    uint64_t next = outbox_next_offset(o);
    int noted = outbox_note_previous(o, r->old_id, err);
    outbox_close(o);
    if (noted < 0)
        return -1;
    unlink(lock);
    if (next != r->next_offset)
        return error_set(
            err, "%s: found events before %" PRIu64 ", expected before %" PRIu64 ": the backup is damaged",
            path, next, r->next_offset);
    return 0;
}

/* Puts the new id in the place of the old one. */
static int rename_outbox(void *ctx, const char *name, struct error *err)
{
    const struct restore *r = ctx;
    char path[BACKUP_PATH];
    size_t n;
    bool cursor = !strcmp(name, "alerts.jsonl.cursor"), letters = !strncmp(name, "dead-letters/", 13);
    if (!cursor && !letters)
        return 0;
    snprintf(path, sizeof path, "%s/%s", r->to, name);
    char *text = backup_read(path, &n, err);
    if (!text)
        return -1;
    const char *before = cursor ? "outbox=" : "{\"outbox\":\"";
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *id = cursor ? strstr(line, before) : strncmp(line, before, strlen(before)) ? NULL : line;
        if (id && !strncmp(id + strlen(before), r->old_id, ID_TEXT))
            memcpy(id + strlen(before), r->new_id, ID_TEXT);
    }
    int rc = backup_write(path, text, n, err);
    free(text);
    return rc;
}

static void report(const struct restore *r, const char *dir)
{
    const struct cli_args *args = r->args;
    bool jsonl = row_of(r, "alerts.jsonl.cursor") != NULL;
    if (cli_has(args, "json")) {
        json_t *o =
            json_pack("{s:s,s:s,s:I,s:I,s:I,s:s,s:s}", "target", r->from, "dir", dir, "files",
                      (json_int_t)json_array_size(r->files), "bytes", (json_int_t)r->bytes, "next_offset",
                      (json_int_t)r->next_offset, "outbox", r->new_id, "was", r->old_id);
        json_dumpf(o, args->out, JSON_COMPACT);
        fputc('\n', args->out);
        json_decref(o);
        return;
    }
    fprintf(args->out, "%s: %zu files, %" PRIu64 " bytes, events before %" PRIu64 ", outbox %s (was %s)\n",
            dir, json_array_size(r->files), r->bytes, r->next_offset, r->new_id, r->old_id);
    fprintf(
        args->out,
        "go on with: ringtape run --dir %s --config %s/settings.ini --rules %s/rules.json --source …%s%s%s\n",
        dir, dir, dir, jsonl ? " --set sinks.jsonl=" : "", jsonl ? dir : "", jsonl ? "/alerts.jsonl" : "");
}

int cmd_restore(const struct cli_args *args)
{
    static struct restore r;
    struct error err;
    const char *dir = args->positional[1];
    r.args = args;
    r.from = args->positional[0];
    int code = CLI_OK;
    if (read_manifest(&r, &err) < 0 || backup_walk(r.from, check_listed, &r, &err) < 0 ||
        take_files(&r, false, &err) < 0)
        code = cli_fail(args, CLI_DAMAGED, "%s; nothing was restored", err.text);
    else if (backup_begin(dir, r.to, sizeof r.to, &err) < 0)
        code = cli_fail(args, CLI_USAGE, "%s", err.text);
    else if (take_files(&r, true, &err) < 0 || renew_outbox(&r, &err) < 0 ||
             backup_walk(r.to, rename_outbox, &r, &err) < 0 || backup_finish(r.to, dir, &err) < 0) {
        backup_remove(r.to);
        code = cli_fail(args, CLI_FAILED, "%s", err.text);
    }
    if (code == CLI_OK)
        report(&r, dir);
    json_decref(r.manifest);
    return code;
}
