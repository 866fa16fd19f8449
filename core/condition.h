/* Sale conditions: what a print with these codes updates, by tape and code.
 *
 * A table maps (tape, code) to limits; several codes limit together (the union: any "no" wins). It travels as
 * SETTING bars.condition_table=TEXT, where TEXT is "VERSION;ROW;ROW…" and ROW is "TAPES:CODES:HLV": tapes of
 * ABC, codes as they stand in msg_trade.cond, then three letters for high/low (y n x), last (y n x l f) and
 * volume (y n): yes, no, x = only outside the market session, l = only if later than the last sale, f = only
 * if it is the trading day's first sale. What updates last updates high and low too: no row may say
 * otherwise.
 */
#ifndef CORE_CONDITION_H
#define CORE_CONDITION_H

#include <stdbool.h>
#include <stdint.h>

/* What limits a print, by code. */
enum {
    CONDITION_NO_HIGH_LOW = 1,
    CONDITION_NO_LAST = 2,
    CONDITION_NO_VOLUME = 4,
    CONDITION_HIGH_LOW_EXTENDED = 8,
    CONDITION_LAST_EXTENDED = 16,
    CONDITION_LAST_LATER = 32,
    CONDITION_LAST_FIRST = 64,
    CONDITION_UNKNOWN = 128 /* no row names the code: it limits nothing */
};

/* What a print updates. */
enum { UPDATES_HIGH_LOW = 1, UPDATES_LAST = 2, UPDATES_VOLUME = 4, UPDATES_ALL = 7 };

struct condition_table {
    uint8_t limits[4][256]; /* by condition_tape and code; a print without tape counts as of tape A */
};

/* 'A', 'B', 'C' -> 1, 2, 3; 0 -> 0 */
static inline unsigned condition_tape(uint8_t tape)
{
    return tape & 3u;
}

/* The text as above. False if it is none; the table is then as it was. */
bool condition_table_parse(struct condition_table *t, const char *text);

#endif
