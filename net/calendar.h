/* Trading days at the edge: local times of an exchange, by its IANA zone, as UTC intervals. Core gets them as
 * messages.
 *
 * Calendars come from a file (docs/market-rules.md); its default, scripts/market/calendars.txt, is compiled
 * in and installed beside the documents. It must have us-equity and utc24; further ones are numbered in the
 * file's order. A holiday has no trading day: the day before stays in force, closed.
 *
 * Time zones are the system's (/usr/share/zoneinfo), read once at open. A local time that a change of clocks
 * leaves out is taken as of the offset after it, one that comes twice as the first. After 2100 clocks do not
 * change.
 *
 * Threading: open before other threads start, as it changes the process's TZ for a while; then read only.
 */
#ifndef NET_CALENDAR_H
#define NET_CALENDAR_H

#include "core/error.h"
#include "core/sequencer.h"

enum { CALENDARS_MAX = 8, CALENDAR_NAME_MAX = 31 };

struct calendars;

/* The zone of New York as the process's local time. -1 with err if the host has no zone data. */
int calendar_init(struct error *err);

/* Reads `path`, the default where it is empty. NULL with err: file, line, what was found and expected; a zone
 * that the host has not. Leaves the process's zone as calendar_init does. */
struct calendars *calendars_open(const char *path, struct error *err);
void calendars_close(struct calendars *c);

/* The number of a calendar by name; -1 with err, which names the nearest. */
int calendars_find(const struct calendars *c, const char *name, struct error *err);

/* A sequencer_calendar (core/sequencer.h); ctx is a struct calendars. */
bool calendar_day(void *ctx, unsigned calendar, int64_t from_ns, int64_t t[4]);

#endif
