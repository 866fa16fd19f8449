#include "net/calendar.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "net/source.h"

#define DAY_NS (24 * 60 * MINUTE_NS)

static const char zone[] = "America/New_York";

int calendar_init(struct error *err)
{
    if (access("/usr/share/zoneinfo/America/New_York", R_OK) != 0)
        return error_set(
            err, "no time zone data: /usr/share/zoneinfo/%s cannot be read; install the package tzdata",
            zone);
    setenv("TZ", zone, 1); /* the process's local time is the exchange's; what it prints is UTC by gmtime */
    tzset();
    return 0;
}

/* UTC ns of a New York wall time on a day given as UTC days since the epoch. */
static int64_t new_york(int64_t day, int hour, int minute)
{
    time_t noon = (time_t)(day * 86400);
    struct tm tm;
    gmtime_r(&noon, &tm);
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = 0;
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm) * SECOND_NS;
}

bool calendar_day(void *ctx, unsigned calendar, int64_t from_ns, int64_t t[4])
{
    (void)ctx;
    if (calendar == CALENDAR_UTC24) {
        int64_t start = from_ns <= 0 ? 0 : (from_ns + DAY_NS - 1) / DAY_NS * DAY_NS;
        t[0] = t[1] = start;
        t[2] = t[3] = start + DAY_NS;
        return true;
    }
    if (calendar != CALENDAR_US_EQUITY)
        return false;
    for (int64_t day = (from_ns > 0 ? from_ns : 0) / DAY_NS - 1;; day++) {
        int weekday = (int)((day + 4) % 7); /* 1970-01-01 was a Thursday; 0 = Sunday */
        if (day < 0 || weekday == 0 || weekday == 6)
            continue;
        t[0] = new_york(day, 4, 0);
        if (t[0] < from_ns)
            continue;
        t[1] = new_york(day, 9, 30);
        t[2] = new_york(day, 16, 0);
        t[3] = new_york(day, 20, 0);
        return true;
    }
}
