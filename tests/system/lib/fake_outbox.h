/* An outbox in memory for tests of sinks: what net/outbox.h promises a reader, with ids, gaps and sizes at
 * will. Include it in one file of a test; it stands in for net/outbox.c. */
#ifndef TESTS_FAKE_OUTBOX_H
#define TESTS_FAKE_OUTBOX_H

#include "net/outbox.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define FAKE_ID       "0123456789abcdef0123456789abcdef"
#define FAKE_OTHER_ID "ffffffffffffffffffffffffffffffff"
enum { FAKE_EVENTS_MAX = 1 << 20, FAKE_BARS_EVERY = 5 };

static struct {
    pthread_mutex_t lock;
    uint64_t first, next; /* kept events */
    const char *id;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .id = FAKE_ID};

struct outbox_reader {
    uint64_t offset;
    char json[64];
};

/* Event n is a bar for every n that FAKE_BARS_EVERY divides, else an alert; its JSON is {"n":<n>}. */
static inline bool fake_is_bar(uint64_t n)
{
    return n % FAKE_BARS_EVERY == 0;
}

static inline void fake_set(uint64_t first, uint64_t next)
{
    pthread_mutex_lock(&fake.lock);
    fake.first = first;
    fake.next = next;
    pthread_mutex_unlock(&fake.lock);
}

struct outbox_reader *outbox_reader_open(const char *dir, uint64_t offset, uint64_t *first, struct error *err)
{
    (void)dir;
    (void)err;
    struct outbox_reader *r = calloc(1, sizeof *r);
    pthread_mutex_lock(&fake.lock);
    *first = r->offset = offset < fake.first ? fake.first : offset;
    pthread_mutex_unlock(&fake.lock);
    return r;
}

int outbox_read(struct outbox_reader *r, struct outbox_record *rec, struct error *err)
{
    (void)err;
    pthread_mutex_lock(&fake.lock);
    bool there = r->offset < fake.next;
    pthread_mutex_unlock(&fake.lock);
    if (!there)
        return 0;
    int len = snprintf(r->json, sizeof r->json, "{\"n\":%llu}", (unsigned long long)r->offset);
    *rec = (struct outbox_record){.offset = r->offset,
                                  .seq = r->offset,
                                  .event_ns = 1381239000000000000 + (int64_t)(r->offset / 7) * 1000000,
                                  .kind = fake_is_bar(r->offset) ? OUTBOX_BAR : OUTBOX_ALERT,
                                  .name = "SPY",
                                  .name_len = 3,
                                  .json = r->json,
                                  .json_len = (uint32_t)len};
    r->offset++;
    return 1;
}

const char *outbox_reader_id(const struct outbox_reader *r)
{
    (void)r;
    return fake.id;
}

void outbox_reader_close(struct outbox_reader *r)
{
    free(r);
}

#endif
