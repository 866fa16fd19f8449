/* What a seed's instance is given: a file of trades, rules, settings. */
#ifndef SIM_MARKET_H
#define SIM_MARKET_H

#include "net/settings.h"

struct market {
    char dir[64]; /* of the simulation; the instance's is in it */
    char instance[80], source[96], rules[96];
    struct settings settings;
    uint64_t journal_segment_bytes, outbox_segment_bytes; /* smaller than settings can say */
    uint64_t staging_bytes;
    int trades;
};

void market_make(struct market *m);

#endif
