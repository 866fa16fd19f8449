#include "net/settings.h"

#include "core/decimal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, SHOWN_MAX = 64 };

#define NAME_OF(constant, text) text,
#define X(name, NAME)           static const char *const names_##name[] = {SET_##NAME(NAME_OF, ) NULL};
SETTING_ENUMS(X)
#undef X

#define VALUES_INT(name)     NULL
#define VALUES_DECIMAL(name) NULL
#define VALUES_POW2(name)    NULL
#define VALUES_BOOL(name)    NULL
#define VALUES_ENUM(name)    names_##name
#define VALUES_NAME(name)    NULL
#define VALUES_PATH(name)    NULL
#define VALUES_TEXT(name)    NULL
#define VALUES_ADDRESS(name) NULL
#define VALUES_REDIS(name)   NULL
#define VALUES_CHANNEL(name) NULL
#define VALUES_CPUS(name)    NULL

const struct setting_info setting_table[SETTING_COUNT] = {
#define X(t, s, k, fallback, lo, hi, u, a, r, h)                                                             \
    {.section = #s,                                                                                          \
     .key = #k,                                                                                              \
     .name = #s "." #k,                                                                                      \
     .default_text = fallback,                                                                               \
     .unit = u,                                                                                              \
     .alias = a,                                                                                             \
     .help = h,                                                                                              \
     .values = VALUES_##t(s##_##k),                                                                          \
     .min = lo,                                                                                              \
     .max = hi,                                                                                              \
     .offset = offsetof(struct settings, s##_##k),                                                           \
     .type = SETTING_##t,                                                                                    \
     .results = r},
    SETTINGS(X)
#undef X
};

/* What was found, fit for a message: in quotes, cut short, without control characters or a password. */
static const char *shown(const char *text, char out[SHOWN_MAX + 8])
{
    const char *scheme = strstr(text, "://");
    if (scheme && strchr(scheme, '@'))
        return strcpy(out, "(not shown, it holds a password)");
    size_t n = 0;
    out[n++] = '"';
    for (; *text && n < SHOWN_MAX; text++)
        out[n++] = iscntrl((unsigned char)*text) ? '?' : *text;
    strcpy(out + n, *text ? "...\"" : "\"");
    return out;
}

int setting_find(const char *name)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (!strcmp(setting_table[i].name, name))
            return i;
    return -1;
}

static bool section_known(const char *section, size_t len)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strlen(setting_table[i].section) == len && !memcmp(setting_table[i].section, section, len))
            return true;
    return false;
}

/* "; did you mean …?" or a pointer to the list. */
static const char *hint(const char *word, bool sections, char *out, size_t size)
{
    const char *names[SETTING_COUNT];
    for (int i = 0; i < SETTING_COUNT; i++)
        names[i] = sections ? setting_table[i].section : setting_table[i].name;
    const char *near = error_nearest(word, names, SETTING_COUNT);
    if (near)
        snprintf(out, size, "; did you mean %s?", near);
    else
        snprintf(out, size, "; `ringtape config` lists all");
    return out;
}

static int unknown_setting(const char *name, struct error *err)
{
    char more[96], found[SHOWN_MAX + 8];
    return error_set(err, "there is no setting %s%s", shown(name, found),
                     hint(name, false, more, sizeof more));
}

static void *field(struct settings *s, enum setting_id id)
{
    return (char *)s + setting_table[id].offset;
}

void setting_expected(enum setting_id id, char *out, size_t size)
{
    const struct setting_info *t = &setting_table[id];
    const char *open = *t->unit ? " (" : "", *close = *t->unit ? ")" : "";
    switch ((enum setting_type)t->type) {
    case SETTING_INT:
    case SETTING_POW2:
        snprintf(out, size, "a %s from %lld to %lld%s%s%s",
                 t->type == SETTING_INT ? "whole number" : "power of two", (long long)t->min,
                 (long long)t->max, open, t->unit, close);
        return;
    case SETTING_DECIMAL:
        snprintf(out, size, "a number of at most 3 decimals from %g to %g%s%s%s", (double)t->min / 1000,
                 (double)t->max / 1000, open, t->unit, close);
        return;
    case SETTING_BOOL:
        snprintf(out, size, "true or false");
        return;
    case SETTING_ENUM:
        out[0] = 0;
        for (size_t i = 0, n = 0; t->values[i] && n < size; i++)
            n += (size_t)snprintf(out + n, size - n, "%s%s",
                                  i == 0             ? ""
                                  : t->values[i + 1] ? ", "
                                                     : " or ",
                                  t->values[i]);
        return;
    case SETTING_NAME:
        snprintf(out, size, "at most %lld letters, digits, dots, dashes or underscores", (long long)t->max);
        return;
    case SETTING_PATH:
        snprintf(out, size, "a path of at most %d bytes", SETTING_TEXT_MAX - 1);
        return;
    case SETTING_TEXT:
        snprintf(out, size, "a text of at most %d bytes", SETTING_TEXT_MAX - 1);
        return;
    case SETTING_ADDRESS:
        snprintf(out, size, "an IPv4 or IPv6 address, such as 127.0.0.1 or ::1");
        return;
    case SETTING_REDIS:
        snprintf(out, size, "redis://host:port/db");
        return;
    case SETTING_CHANNEL:
        snprintf(out, size, "a name of 1 to %d bytes without spaces", SETTING_TEXT_MAX - 1);
        return;
    case SETTING_CPUS:
        snprintf(out, size, "auto, off, or a list of distinct CPUs such as 2,4-7");
        return;
    }
}

static bool parse_int(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-');
    if (!*digits || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i])) {
            *out = i & 1;
            return true;
        }
    return false;
}

int setting_cpu_list(const char *text, uint16_t cpus[SETTING_CPUS_MAX])
{
    enum { CPU_END = 1024 };
    uint64_t taken[CPU_END / 64] = {0};
    int n = 0;
    for (;;) {
        char *end;
        if (!isdigit((unsigned char)*text))
            return -1;
        unsigned long first = strtoul(text, &end, 10), last = first;
        if (*end == '-') {
            if (!isdigit((unsigned char)end[1]))
                return -1;
            last = strtoul(end + 1, &end, 10);
        }
        if (last >= CPU_END || first > last)
            return -1;
        for (; first <= last; first++) {
            if (n == SETTING_CPUS_MAX || taken[first / 64] >> first % 64 & 1)
                return -1;
            taken[first / 64] |= 1ull << first % 64;
            cpus[n++] = (uint16_t)first;
        }
        if (!*end)
            return n;
        if (*end != ',')
            return -1;
        text = end + 1;
    }
}

int setting_redis_parse(const char *text, struct setting_redis *out, struct error *err)
{
    char found[SHOWN_MAX + 8];
    memset(out, 0, sizeof *out);
    out->port = 6379;
    if (strchr(text, '@'))
        return error_set(err,
                         "no user or password belongs here, because settings are shown: put the password in "
                         "the file that redis.password_file names");
    out->tls = !strncmp(text, "rediss://", 9);
    if ((!out->tls && strncmp(text, "redis://", 8)) || strlen(text) >= SETTING_TEXT_MAX)
        goto bad;
    const char *host = strchr(text, '/') + 2, *end;
    if (*host == '[') {
        end = strchr(++host, ']');
        if (!end)
            goto bad;
    } else {
        end = host + strcspn(host, ":/");
    }
    if (end == host)
        goto bad;
    memcpy(out->host, host, (size_t)(end - host));
    for (const char *c = out->host; *c; c++)
        if (isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
            goto bad;
    const char *rest = end + (*end == ']');
    for (int part = 0; part < 2; part++) {
        if (*rest != ":/"[part])
            continue;
        size_t digits = strspn(rest + 1, "0123456789");
        unsigned long number = strtoul(rest + 1, NULL, 10);
        if (digits > 5 || number > 65535 || (part == 0 && number == 0) || (part == 0 && digits == 0))
            goto bad;
        *(part == 0 ? &out->port : &out->db) = (uint16_t)number;
        rest += 1 + digits;
    }
    if (!*rest)
        return 0;
bad:
    return error_set(err, "found %s; expected redis://host:port/db", shown(text, found));
}

static bool text_fits(const struct setting_info *t, const char *text)
{
    unsigned char address[16];
    uint16_t cpus[SETTING_CPUS_MAX];
    size_t len = strlen(text);
    if (len >= SETTING_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (iscntrl(c) || (t->type == SETTING_NAME && !(isascii(c) && isalnum(c)) && !strchr("._-", c)) ||
            (t->type == SETTING_CHANNEL && isspace(c)))
            return false;
    }
    switch ((enum setting_type)t->type) {
    case SETTING_NAME:
        return len <= (size_t)t->max;
    case SETTING_ADDRESS:
        return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
    case SETTING_CPUS:
        return !strcmp(text, "auto") || !strcmp(text, "off") || setting_cpu_list(text, cpus) > 0;
    default:
        return true;
    }
}

static bool set_number(struct settings *s, enum setting_id id, const char *text)
{
    const struct setting_info *t = &setting_table[id];
    int64_t v;
    bool number = t->type == SETTING_DECIMAL ? decimal_parse(text, strlen(text), 3, &v) == DECIMAL_OK
                                             : parse_int(text, &v);
    if (!number || v < t->min || v > t->max)
        return false;
    if (t->type == SETTING_POW2 && (v & (v - 1)))
        return false;
    *(int64_t *)field(s, id) = v;
    return true;
}

static bool set_enum(struct settings *s, enum setting_id id, const char *text)
{
    for (unsigned i = 0; setting_table[id].values[i]; i++)
        if (!strcmp(text, setting_table[id].values[i])) {
            memcpy(field(s, id), &i, sizeof i);
            return true;
        }
    return false;
}
_Static_assert(sizeof(enum set_log_level) == sizeof(unsigned), "an ENUM is stored as an unsigned");

static bool set_text(struct settings *s, enum setting_id id, const char *text)
{
    const struct setting_info *t = &setting_table[id];
    bool empty = !*text;
    if (empty ? *t->default_text != 0 : !text_fits(t, text))
        return false;
    strcpy(field(s, id), text);
    return true;
}

/* Stores `text`; the error has no place yet. */
static int set_value(struct settings *s, enum setting_id id, const char *text, struct error *err)
{
    const struct setting_info *t = &setting_table[id];
    struct setting_redis redis;
    bool good;
    switch ((enum setting_type)t->type) {
    case SETTING_INT:
    case SETTING_DECIMAL:
    case SETTING_POW2:
        good = set_number(s, id, text);
        break;
    case SETTING_BOOL:
        good = parse_bool(text, field(s, id));
        break;
    case SETTING_ENUM:
        good = set_enum(s, id, text);
        break;
    case SETTING_REDIS:
        if (*text && setting_redis_parse(text, &redis, err))
            return error_prefix(err, "%s", t->name);
        good = set_text(s, id, text);
        break;
    default:
        good = set_text(s, id, text);
    }
    if (good)
        return 0;
    char found[SHOWN_MAX + 8], expected[128], more[64] = "";
    setting_expected(id, expected, sizeof expected);
    if (t->type == SETTING_ENUM) {
        unsigned n = 0;
        while (t->values[n])
            n++;
        const char *near = error_nearest(text, t->values, n);
        if (near)
            snprintf(more, sizeof more, "; did you mean %s?", near);
    }
    return error_set(err, "%s: found %s; expected %s%s", t->name, *text ? shown(text, found) : "nothing",
                     expected, more);
}

void settings_defaults(struct settings *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < SETTING_COUNT; i++) {
        struct error err;
        int bad = set_value(s, (enum setting_id)i, setting_table[i].default_text, &err);
        assert(!bad);
    }
}

/* Feeds inih line by line and remembers where it is. inih splits the lines; what it would let pass in silence
 * (text after a section, an indented line as a continuation, a cut line) is refused here. */
struct reader {
    struct settings *s;
    const char *path, *next, *end;
    uint32_t line;
    uint32_t bad_line; /* of the first error of ours, 0 = none */
    uint32_t seen[SETTING_COUNT];
    struct error err;
};

static void reader_fail(struct reader *r)
{
    r->bad_line = r->line;
    r->next = r->end;
}

static void check_section(struct reader *r, const char *line)
{
    char found[SHOWN_MAX + 8], name[64], more[96];
    const char *close = strchr(line, ']');
    if (!close)
        return; /* inih refuses it */
    const char *rest = close + 1 + strspn(close + 1, " \t\r\n");
    size_t len = (size_t)(close - line) - 1;
    if (*rest && *rest != ';' && *rest != '#') {
        error_set(&r->err, "found %s after a section; expected the end of the line", shown(rest, found));
        reader_fail(r);
    } else if (!section_known(line + 1, len)) {
        snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), line + 1);
        for (char *c = name; *c; c++)
            *c = iscntrl((unsigned char)*c) ? '?' : *c;
        error_set(&r->err, "there is no section [%s]%s", name, hint(name, true, more, sizeof more));
        reader_fail(r);
    }
}

static char *reader_line(char *out, int room, void *context)
{
    struct reader *r = context;
    if (r->next == r->end)
        return NULL;
    r->line++;
    const char *newline = memchr(r->next, '\n', (size_t)(r->end - r->next));
    const char *line = r->next, *end = newline ? newline : r->end;
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    size_t len = (size_t)(end - line);
    r->next = newline ? newline + 1 : r->end;
    *out = 0;
    if (memchr(line, 0, len)) {
        error_set(&r->err, "found a NUL byte; expected text");
        reader_fail(r);
    } else if (len + 2 > (size_t)room) {
        error_set(&r->err, "found a line of %zu bytes; expected at most %d", len, room - 2);
        reader_fail(r);
    } else {
        memcpy(out, line, len);
        strcpy(out + len, "\n");
        if (*out == '[')
            check_section(r, out);
    }
    return r->bad_line ? NULL : out;
}

static int reader_value(void *context, const char *section, const char *key, const char *value)
{
    struct reader *r = context;
    char name[128];
    if (r->bad_line)
        return 1;
    snprintf(name, sizeof name, "%s.%s", section, key);
    int id = setting_find(name);
    if (!*section) {
        error_set(&r->err, "found a value before any section; expected [section] first");
    } else if (id < 0) {
        unknown_setting(name, &r->err);
    } else if (r->seen[id]) {
        error_set(&r->err, "%s is given twice, here and in line %u; remove one", name, r->seen[id]);
    } else if (strstr(value, " #") || strstr(value, "\t#")) {
        char found[SHOWN_MAX + 8];
        error_set(&r->err, "%s: found %s; a comment after a value starts with ;", name, shown(value, found));
    } else if (!set_value(r->s, (enum setting_id)id, value, &r->err)) {
        r->seen[id] = r->line;
        r->s->from[id].origin = SETTING_FROM_FILE;
        r->s->from[id].line = r->line;
        return 1;
    }
    reader_fail(r);
    return 0;
}

/* What inih alone refuses: a line that is neither a section, nor key = value, nor a comment. */
static int refused_line(const char *path, const char *text, size_t len, uint32_t line, struct error *err)
{
    char copy[SHOWN_MAX + 8], found[SHOWN_MAX + 8];
    const char *end = text + len;
    for (uint32_t i = 1; i < line && text < end; i++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        text = newline ? newline + 1 : end;
    }
    size_t n = 0;
    for (; text + n < end && text[n] != '\n' && text[n] != '\r' && n < sizeof copy - 1; n++)
        copy[n] = text[n];
    copy[n] = 0;
    char *word = copy + strspn(copy, " \t");
    return error_set(err, "%s:%u: found %s; expected %s", path, line, shown(word, found),
                     *word == '[' ? "[section]" : "key = value, [section], or a comment after ;");
}

int settings_parse(struct settings *s, const char *path, const char *text, size_t len, struct error *err)
{
    struct reader r = {.s = s, .path = path, .next = text, .end = text + len};
    snprintf(s->file, sizeof s->file, "%s", path);
    int bad = ini_parse_stream(reader_line, &r, reader_value, &r);
    if (bad < 0)
        return error_set(err, "%s: out of memory", path);
    if (bad > 0 && (!r.bad_line || (uint32_t)bad < r.bad_line))
        return refused_line(path, text, len, (uint32_t)bad, err);
    if (!r.bad_line)
        return 0;
    if (err)
        *err = r.err;
    return error_prefix(err, "%s:%u", path, r.bad_line);
}

int settings_read_file(struct settings *s, const char *path, struct error *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return error_set(err, "cannot open the settings file %s: %s; `ringtape config --template` prints one",
                         path, strerror(errno));
    char *text = malloc(FILE_BYTES_MAX + 1);
    size_t len = text ? fread(text, 1, FILE_BYTES_MAX + 1, f) : 0;
    int rc;
    if (!text)
        rc = error_set(err, "%s: out of memory", path);
    else if (ferror(f))
        rc = error_set(err, "cannot read the settings file %s: %s", path, strerror(errno));
    else if (len > FILE_BYTES_MAX)
        rc = error_set(err, "%s: more than %d bytes; expected a settings file", path, FILE_BYTES_MAX);
    else
        rc = settings_parse(s, path, text, len, err);
    free(text);
    fclose(f);
    return rc;
}

void setting_env_name(enum setting_id id, char *out)
{
    int n = snprintf(out, 64, "RINGTAPE_%s_%s", setting_table[id].section, setting_table[id].key);
    assert(n > 0 && n < 64);
    for (; *out; out++)
        *out = (char)toupper((unsigned char)*out);
}

/* The value of `name` in the environment, NULL if it is not there. */
static const char *environment_get(char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; *environment; environment++)
        if (!strncmp(*environment, name, len) && (*environment)[len] == '=')
            return *environment + len + 1;
    return NULL;
}

/* A variable RINGTAPE_SECTION_… of a known section that names no setting is a slip of the pen. Others may
 * mean anything; so may those that Kubernetes makes for a service called ringtape-SECTION. */
static int refuse_unknown_variable(const char *variable, struct error *err)
{
    enum { PREFIX = 9 };
    char name[64], known[64], more[96];
    const char *names[SETTING_COUNT];
    char all[SETTING_COUNT][64];
    size_t len = strcspn(variable, "=");
    if (strncmp(variable, "RINGTAPE_", PREFIX) || len >= sizeof name)
        return 0;
    memcpy(name, variable, len);
    name[len] = 0;
    if (strstr(name, "_SERVICE_") || strstr(name, "_PORT_") || !strncmp(variable + len, "=tcp://", 7))
        return 0;
    bool section = false;
    for (int i = 0; i < SETTING_COUNT; i++) {
        setting_env_name((enum setting_id)i, all[i]);
        if (!strcmp(all[i], name))
            return 0;
        names[i] = all[i];
        size_t n = PREFIX + strlen(setting_table[i].section) + 1;
        memcpy(known, all[i], n);
        section |= !strncmp(name, known, n);
    }
    if (!section)
        return 0;
    const char *near = error_nearest(name, names, SETTING_COUNT);
    if (near)
        snprintf(more, sizeof more, "; did you mean %s?", near);
    else
        snprintf(more, sizeof more, "; `ringtape config --env` lists all");
    return error_set(err, "environment: %s names no setting%s", name, more);
}

int settings_read_environment(struct settings *s, char *const *environment, struct error *err)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        char name[64];
        setting_env_name((enum setting_id)i, name);
        const char *value = environment_get(environment, name), *alias = setting_table[i].alias;
        enum setting_origin origin = SETTING_FROM_ENV;
        if (!value && *alias) {
            value = environment_get(environment, alias);
            origin = SETTING_FROM_ALIAS;
        }
        if (!value)
            continue;
        if (set_value(s, (enum setting_id)i, value, err))
            return error_prefix(err, "environment: %s", origin == SETTING_FROM_ENV ? name : alias);
        s->from[i].origin = (uint8_t)origin;
    }
    for (; *environment; environment++)
        if (refuse_unknown_variable(*environment, err))
            return -1;
    return 0;
}

int settings_override(struct settings *s, const char *set, struct error *err)
{
    char name[64], found[SHOWN_MAX + 8];
    size_t len = strcspn(set, "=");
    if (!set[len] || len == 0)
        return error_set(err, "--set: found %s; expected section.key=value", shown(set, found));
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), set);
    int id = setting_find(name);
    if (id < 0) {
        unknown_setting(name, err);
        return error_prefix(err, "--set");
    }
    if (s->from[id].origin == SETTING_FROM_COMMAND)
        return error_set(err, "--set: %s is given twice; remove one", name);
    if (set_value(s, (enum setting_id)id, set + len + 1, err))
        return error_prefix(err, "--set");
    s->from[id].origin = SETTING_FROM_COMMAND;
    return 0;
}

/* What no single setting can say. */
static int check_together(const struct settings *s, struct error *err)
{
    if (s->journal_block_kb * 2 > s->journal_staging_mb * 1024 ||
        s->journal_block_kb > s->journal_segment_mb * 1024)
        return error_set(
            err,
            "journal.block_kb: found %lld; expected at most half of journal.staging_mb (%lld MiB) and "
            "no more than journal.segment_mb (%lld MiB)",
            (long long)s->journal_block_kb, (long long)s->journal_staging_mb,
            (long long)s->journal_segment_mb);
    if (s->journal_retention_mb && s->journal_retention_mb < 2 * s->journal_segment_mb)
        return error_set(err,
                         "journal.retention_mb: found %lld; expected 0 or at least two journal files, %lld "
                         "(journal.segment_mb is %lld): make it larger or the files smaller",
                         (long long)s->journal_retention_mb, 2 * (long long)s->journal_segment_mb,
                         (long long)s->journal_segment_mb);
    return 0;
}

int settings_load(struct settings *s, const char *file, char *const *environment, const char *const *sets,
                  size_t n, struct error *err)
{
    settings_defaults(s);
    if (file && settings_read_file(s, file, err))
        return -1;
    if (environment && settings_read_environment(s, environment, err))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (settings_override(s, sets[i], err))
            return -1;
    return check_together(s, err);
}

int settings_reload(struct settings *s, const struct settings *old, char *const *environment,
                    struct error *err)
{
    char sets[SETTING_COUNT][64 + SETTING_TEXT_MAX], value[SETTING_TEXT_MAX];
    const char *set[SETTING_COUNT];
    size_t n = 0;
    for (int i = 0; i < SETTING_COUNT; i++)
        if (old->from[i].origin == SETTING_FROM_COMMAND) {
            setting_value(old, (enum setting_id)i, value);
            snprintf(sets[n], sizeof sets[n], "%s=%s", setting_table[i].name, value);
            set[n] = sets[n];
            n++;
        }
    return settings_load(s, *old->file ? old->file : NULL, environment, set, n, err);
}

void setting_value(const struct settings *s, enum setting_id id, char *out)
{
    const struct setting_info *t = &setting_table[id];
    const void *at = (const char *)s + t->offset;
    unsigned choice;
    switch ((enum setting_type)t->type) {
    case SETTING_INT:
    case SETTING_POW2:
        snprintf(out, SETTING_TEXT_MAX, "%lld", (long long)*(const int64_t *)at);
        return;
    case SETTING_DECIMAL:
        decimal_format((uint64_t) * (const int64_t *)at, 3, out);
        return;
    case SETTING_BOOL:
        strcpy(out, *(const bool *)at ? "true" : "false");
        return;
    case SETTING_ENUM:
        memcpy(&choice, at, sizeof choice);
        strcpy(out, t->values[choice]);
        return;
    default:
        strcpy(out, at);
    }
}

void setting_origin(const struct settings *s, enum setting_id id, char *out, size_t size)
{
    char name[64];
    switch ((enum setting_origin)s->from[id].origin) {
    case SETTING_FROM_DEFAULT:
        snprintf(out, size, "default");
        return;
    case SETTING_FROM_FILE:
        snprintf(out, size, "%s:%u", s->file, s->from[id].line);
        return;
    case SETTING_FROM_ENV:
        setting_env_name(id, name);
        snprintf(out, size, "%s", name);
        return;
    case SETTING_FROM_ALIAS:
        snprintf(out, size, "%s", setting_table[id].alias);
        return;
    case SETTING_FROM_COMMAND:
        snprintf(out, size, "--set");
        return;
    }
}
