/* The server behind the sink: keeps a cursor and what was delivered, as Postgres or Redis would, and may be
 * dead or slow, lose a request or its answer, take a part of a batch, or take a batch long after the client
 * gave up on it. It stands in the place of the sink `jsonl`. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server_plan {
    unsigned fault_one_in; /* requests */
    int64_t answer_ns;     /* at most */
    bool dead;
};
extern struct server_plan server_plan;

/* What waits on the network may arrive. */
void server_turn(void);

struct delivered {
    uint64_t offset, seq;
    uint32_t symbol, sub;
    uint8_t kind;
    char *json;
};
extern struct delivered *server_list;
extern size_t server_count;
extern uint64_t server_faults_made;

#endif
