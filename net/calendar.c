#include "net/calendar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/decimal.h"
#include "net/source.h"
#include "net/word_file.h"

#define DAY_S 86400

/* The path is seen from the project's root, where the compiler runs. */
__asm__(".pushsection .rodata\ncalendars_default:\n.incbin \"scripts/market/calendars.txt\"\n.byte 0\n"
        ".popsection\n");
extern const char calendars_default[] __attribute__((visibility("hidden")));

static const char zone[] = "America/New_York";

enum { CHANGES_MAX = 600, EXCEPTIONS_MAX = 4096, FIRST_YEAR = 1970, END_YEAR = 2101 };

/* From `at` (UTC seconds) on, local time is UTC plus `offset`. */
struct change {
    int64_t at;
    int32_t offset;
};

struct exception {
    int32_t day; /* since 1970 */
    bool half;
};

struct day_plan {
    bool given;
    int32_t at[4]; /* seconds after the local day's start */
};

struct calendar_rule {
    char name[CALENDAR_NAME_MAX + 1], zone[64];
    uint8_t weekdays; /* bit 0: Monday */
    struct day_plan full, half;
    int first_year, last_year; /* covered; 0: nothing said */
    uint32_t changes, exceptions;
    struct change change[CHANGES_MAX];
    struct exception exception[EXCEPTIONS_MAX]; /* ascending */
};

struct calendars {
    uint32_t n;
    struct calendar_rule rule[CALENDARS_MAX];
};

/* ---- time zones */

static bool zone_known(const char *name)
{
    char path[128];
    if (strlen(name) >= 64 || *name == '/' || strstr(name, ".."))
        return false;
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *f = fopen(path, "re");
    char magic[4] = "";
    bool good = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "TZif", 4);
    if (f)
        fclose(f);
    return good;
}

static void set_zone(const char *name)
{
    setenv("TZ", name, 1);
    tzset();
}

int calendar_init(struct error *err)
{
    if (!zone_known(zone))
        return error_set(
            err, "no time zone data: /usr/share/zoneinfo/%s cannot be read; install the package tzdata",
            zone);
    set_zone(zone); /* the process's local time is the exchange's; what it prints is UTC by gmtime */
    return 0;
}

static int32_t offset_at(int64_t t)
{
    time_t s = (time_t)t;
    struct tm tm;
    localtime_r(&s, &tm);
    return (int32_t)tm.tm_gmtoff;
}

/* The changes of the zone's offset, found by looking at it every week and halving where it differs. What
 * would not fit, and what comes after END_YEAR, keeps its last offset. */
static void read_zone(struct calendar_rule *r)
{
    const int64_t week = 7 * DAY_S, end = (int64_t)(END_YEAR - FIRST_YEAR) * 36525 / 100 * DAY_S;
    set_zone(r->zone);
    r->change[0] = (struct change){INT64_MIN, offset_at(0)};
    r->changes = 1;
    for (int64_t t = week; t < end && r->changes < CHANGES_MAX; t += week) {
        int32_t now = offset_at(t), before = r->change[r->changes - 1].offset;
        if (now == before)
            continue;
        int64_t low = t - week, high = t; /* before and after the change */
        while (high - low > 1) {
            int64_t mid = low + (high - low) / 2;
            *(offset_at(mid) == before ? &low : &high) = mid;
        }
        r->change[r->changes++] = (struct change){high, now};
    }
}

/* UTC ns of a local time in seconds since 1970-01-01 00:00 local. */
static int64_t to_utc(const struct calendar_rule *r, int64_t local)
{
    uint32_t i = 0;
    while (i + 1 < r->changes && local - r->change[i].offset >= r->change[i + 1].at)
        i++;
    return (local - r->change[i].offset) * SECOND_NS;
}

/* ---- trading days */

static const struct exception *exception_of(const struct calendar_rule *r, int64_t day)
{
    uint32_t low = 0, high = r->exceptions;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (r->exception[mid].day < day)
            low = mid + 1;
        else
            high = mid;
    }
    return low < r->exceptions && r->exception[low].day == day ? &r->exception[low] : NULL;
}

bool calendar_day(void *ctx, unsigned calendar, int64_t from_ns, int64_t t[4])
{
    const struct calendars *c = ctx;
    if (calendar >= c->n)
        return false;
    const struct calendar_rule *r = &c->rule[calendar];
    int64_t day = (from_ns > 0 ? from_ns : 0) / (DAY_S * SECOND_NS) - 2,
            last = TIME_MAX_NS / SECOND_NS / DAY_S;
    for (day = day < 0 ? 0 : day; day <= last; day++) {
        unsigned weekday = (unsigned)((day + 3) % 7); /* 1970-01-01 was a Thursday; 0 = Monday */
        const struct exception *x = exception_of(r, day);
        if (!(r->weekdays >> weekday & 1) || (x && !x->half))
            continue;
        const struct day_plan *plan = x ? &r->half : &r->full;
        for (int i = 0; i < 4; i++)
            t[i] = to_utc(r, day * DAY_S + plan->at[i]);
        if (t[0] >= from_ns && t[0] >= 0)
            return true;
    }
    return false;
}

int calendars_find(const struct calendars *c, const char *name, struct error *err)
{
    const char *names[CALENDARS_MAX];
    for (uint32_t i = 0; i < c->n; i++) {
        names[i] = c->rule[i].name;
        if (!strcmp(names[i], name))
            return (int)i;
    }
    const char *near = error_nearest(name, names, c->n);
    return error_set(err, "found the calendar \"%s\"; expected one of the calendar file%s%s%s", name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* ---- the file */

static const char *const weekday_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static int weekday_of(const char *text, size_t len)
{
    for (int i = 0; i < 7; i++)
        if (len == 3 && !memcmp(text, weekday_names[i], 3))
            return i;
    return -1;
}

/* mon-fri or mon,wed,fri */
static int read_days(struct calendar_rule *r, const struct word_file *f, struct error *err)
{
    const char *text = f->n == 2 ? f->word[1] : "";
    uint8_t days = 0;
    for (size_t len; *text; text += len + (text[len] == ',')) {
        len = strcspn(text, ",");
        size_t dash = strcspn(text, "-");
        int from = weekday_of(text, dash < len ? dash : len),
            to = dash < len ? weekday_of(text + dash + 1, len - dash - 1) : from;
        if (from < 0 || to < from) {
            days = 0;
            break;
        }
        for (int i = from; i <= to; i++)
            days |= (uint8_t)(1u << i);
    }
    if (!days || r->weekdays)
        return word_file_bad(f, f->n > 1 ? f->word[1] : NULL, err, "days once: mon-fri, or mon,wed,fri");
    r->weekdays = days;
    return 0;
}

/* HH:MM or -1dHH:MM, up to 24:00. */
static bool read_time(const char *text, int32_t *out)
{
    int32_t day = 0;
    if (!strncmp(text, "-1d", 3)) {
        day = -DAY_S;
        text += 3;
    }
    if (strlen(text) != 5 || text[2] != ':' || strspn(text, "0123456789") != 2 ||
        strspn(text + 3, "0123456789") != 2)
        return false;
    int hour = (text[0] - '0') * 10 + text[1] - '0', minute = (text[3] - '0') * 10 + text[4] - '0';
    *out = day + hour * 3600 + minute * 60;
    return hour * 60 + minute <= 24 * 60 && minute < 60;
}

static int read_sessions(struct day_plan *p, const struct word_file *f, struct error *err)
{
    if (p->given || f->n != 5)
        return word_file_bad(f, f->word[0], err,
                             "%s once, with four times: premarket, market, its end, postmarket's end",
                             f->word[0]);
    for (int i = 0; i < 4; i++) {
        if (!read_time(f->word[i + 1], &p->at[i]))
            return word_file_bad(f, f->word[i + 1], err,
                                 "a time such as 09:30, or -1d17:00 of the day before");
        if (i && p->at[i] < p->at[i - 1])
            return word_file_bad(f, f->word[i + 1], err, "a time not before %s", f->word[i]);
    }
    if (p->at[3] == p->at[0] || p->at[3] - p->at[0] > DAY_S)
        return word_file_bad(f, f->word[4], err, "a day of more than 0 and at most 24 hours");
    p->given = true;
    return 0;
}

static int read_covers(struct calendar_rule *r, const struct word_file *f, struct error *err)
{
    char *end[2] = {"x", "x"};
    long year[2] = {0, 0};
    for (unsigned i = 0; i < 2 && i + 1 < f->n; i++)
        year[i] = strtol(f->word[i + 1], &end[i], 10);
    if (f->n != 3 || *end[0] || *end[1] || year[0] < FIRST_YEAR || year[1] >= END_YEAR || year[0] > year[1])
        return word_file_bad(f, f->n > 1 ? f->word[1] : NULL, err, "two years, from %d to %d", FIRST_YEAR,
                             END_YEAR - 1);
    r->first_year = (int)year[0];
    r->last_year = (int)year[1];
    return 0;
}

/* holiday DATE or half DATE; dates rise. */
static int read_exception(struct calendar_rule *r, const struct word_file *f, struct error *err)
{
    const char *text = f->n > 1 ? f->word[1] : "";
    int64_t day = 0;
    if (strlen(text) != 10 || text[4] != '-' || text[7] != '-' || strspn(text, "0123456789") != 4 ||
        strspn(text + 5, "0123456789") != 2 || strspn(text + 8, "0123456789") != 2 ||
        !decimal_days((unsigned)atoi(text), (unsigned)atoi(text + 5), (unsigned)atoi(text + 8), &day))
        return word_file_bad(f, f->n > 1 ? text : NULL, err, "a date such as 2026-12-25");
    int year = atoi(text);
    if (year < r->first_year || year > r->last_year)
        return word_file_bad(f, text, err, "a date in the years of a line `covers` before it");
    if (r->exceptions && day <= r->exception[r->exceptions - 1].day)
        return word_file_bad(f, text, err, "a date later than that of the line before");
    if (r->exceptions == EXCEPTIONS_MAX)
        return word_file_bad(f, text, err, "at most %d holidays and half days", EXCEPTIONS_MAX);
    bool half = !strcmp(f->word[0], "half");
    if (half && !r->half.given)
        return word_file_bad(f, f->word[0], err, "half_sessions before the first half day");
    r->exception[r->exceptions++] = (struct exception){.day = (int32_t)day, .half = half};
    return 0;
}

/* The calendar that has been read is whole. */
static int check_rule(const struct calendars *c, const struct word_file *f, struct error *err)
{
    const struct calendar_rule *r = c->n ? &c->rule[c->n - 1] : NULL;
    if (!r || (r->weekdays && r->full.given))
        return 0;
    return word_file_bad(f, r->name, err, "`days` and `sessions` in the calendar that ends here");
}

static int read_calendar(struct calendars *c, const struct word_file *f, struct error *err)
{
    if (check_rule(c, f, err) < 0)
        return -1;
    if (f->n != 3 || strlen(f->word[1]) > CALENDAR_NAME_MAX)
        return word_file_bad(f, f->word[0], err, "calendar NAME ZONE, a name of at most %d characters",
                             CALENDAR_NAME_MAX);
    if (calendars_find(c, f->word[1], NULL) >= 0)
        return word_file_bad(f, f->word[1], err, "a name that no calendar before has");
    if (c->n == CALENDARS_MAX)
        return word_file_bad(f, f->word[1], err, "at most %d calendars", CALENDARS_MAX);
    if (!zone_known(f->word[2]))
        return word_file_bad(f, f->word[2], err, "an IANA time zone of /usr/share/zoneinfo, such as %s",
                             zone);
    struct calendar_rule *r = &c->rule[c->n++];
    snprintf(r->name, sizeof r->name, "%s", f->word[1]);
    snprintf(r->zone, sizeof r->zone, "%s", f->word[2]);
    return 0;
}

static int read_line(struct calendars *c, const struct word_file *f, struct error *err)
{
    static const char *const kinds[] = {"version",       "calendar", "days",    "sessions",
                                        "half_sessions", "covers",   "holiday", "half"};
    struct calendar_rule *r = c->n ? &c->rule[c->n - 1] : NULL;
    const char *kind = f->word[0];
    if (!strcmp(kind, "version"))
        return f->n == 2 ? 0 : word_file_bad(f, kind, err, "version NAME");
    if (!strcmp(kind, "calendar"))
        return read_calendar(c, f, err);
    const char *near = error_nearest(kind, kinds, sizeof kinds / sizeof *kinds);
    bool known = false;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known |= !strcmp(kind, kinds[i]);
    if (!known)
        return word_file_bad(f, kind, err,
                             "calendar, days, sessions, half_sessions, covers, holiday or half%s%s%s",
                             near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    if (!r)
        return word_file_bad(f, kind, err, "calendar NAME ZONE first");
    if (!strcmp(kind, "days"))
        return read_days(r, f, err);
    if (!strcmp(kind, "sessions"))
        return read_sessions(&r->full, f, err);
    if (!strcmp(kind, "half_sessions"))
        return read_sessions(&r->half, f, err);
    return !strcmp(kind, "covers") ? read_covers(r, f, err) : read_exception(r, f, err);
}

/* us-equity and utc24 have the numbers that sources know. */
static int order(struct calendars *c, const char *path, struct error *err)
{
    static const char *const first[CALENDAR_COUNT] = {
        [CALENDAR_US_EQUITY] = "us-equity", [CALENDAR_UTC24] = "utc24"};
    for (uint32_t i = 0; i < CALENDAR_COUNT; i++) {
        int at = calendars_find(c, first[i], NULL);
        if (at < 0)
            return error_set(err, "%s: found no calendar %s; expected one, the sources' symbols need it",
                             path, first[i]);
        if ((uint32_t)at == i)
            continue;
        struct calendar_rule *moved = malloc(sizeof *moved);
        if (!moved)
            return error_set(err, "%s: out of memory", path);
        *moved = c->rule[at];
        memmove(&c->rule[i + 1], &c->rule[i], ((uint32_t)at - i) * sizeof *moved);
        c->rule[i] = *moved;
        free(moved);
    }
    return 0;
}

struct calendars *calendars_open(const char *path, struct error *err)
{
    struct word_file f;
    struct calendars *c = calloc(1, sizeof *c);
    if (!c || calendar_init(err) < 0 ||
        word_file_open(&f, path, calendars_default, "calendars.txt", err) < 0) {
        free(c);
        return NULL;
    }
    int rc = 0;
    while (rc == 0 && word_file_next(&f))
        rc = read_line(c, &f, err);
    if (rc == 0)
        rc = check_rule(c, &f, err);
    if (rc == 0)
        rc = order(c, f.path, err);
    word_file_close(&f);
    if (rc < 0) {
        free(c);
        return NULL;
    }
    for (uint32_t i = 0; i < c->n; i++)
        read_zone(&c->rule[i]);
    set_zone(zone);
    return c;
}

void calendars_close(struct calendars *c)
{
    free(c);
}
