/* Trading days at the edge: local times of an exchange, by its IANA zone, as UTC intervals. Core gets them as
 * messages.
 *
 *   us-equity  Monday to Friday, premarket 04:00, market 09:30, postmarket 16:00 to 20:00 New York
 *   utc24      every day, one market session from 00:00 to 24:00 UTC
 *
 * Holidays and half days are not in this version: on such a day the sessions are those of any other day.
 */
#ifndef NET_CALENDAR_H
#define NET_CALENDAR_H

#include "core/error.h"
#include "core/sequencer.h"

/* Reads the zone. -1 with err if the host has no zone data. */
int calendar_init(struct error *err);

/* A sequencer_calendar (core/sequencer.h); ctx is not used. */
bool calendar_day(void *ctx, unsigned calendar, int64_t from_ns, int64_t t[4]);

#endif
