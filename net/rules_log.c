#include "net/rules_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/segment.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char magic[16] = "ringtape rules1";
enum { SLOTS_MAX = 1 << 24 };

struct batch_head {
    uint64_t seq;
    uint32_t slots, pad;
    uint64_t sum;
};

static uint64_t sum_of(const struct batch_head *h, const struct msg *m)
{
    XXH3_state_t s;
    XXH3_64bits_reset(&s);
    XXH3_64bits_update(&s, h, offsetof(struct batch_head, sum));
    XXH3_64bits_update(&s, m, h->slots * sizeof *m);
    return XXH3_64bits_digest(&s);
}

static bool records_sound(const struct msg *m, uint32_t n)
{
    uint32_t at = 0;
    while (at < n && msg_valid(&m[at], n - at) && (m[at].type == MSG_RULE || m[at].type == MSG_ATTR))
        at += msg_slot_count(&m[at]);
    return at == n;
}

static void keep(struct rules_log *l, uint64_t seq, struct msg *m, uint32_t n)
{
    struct rules_batch *grown = realloc(l->batch, (l->n + 1u) * sizeof *grown);
    if (!grown)
        abort();
    l->batch = grown;
    l->batch[l->n++] = (struct rules_batch){.seq = seq, .n = n, .m = m};
}

static struct msg *room(uint32_t slots)
{
    struct msg *m = aligned_alloc(64, (slots + 1u) * sizeof *m);
    if (!m)
        abort();
    return m;
}

/* The next batch. 1; 0: there is none, or its end is torn off; -1 with err. */
static int read_batch(struct rules_log *l, const char *path, uint64_t size, struct error *err)
{
    struct batch_head h;
    uint64_t left = size - l->end;
    if (left < sizeof h || segment_read(l->fd, &h, sizeof h, l->end) != sizeof h)
        return 0;
    uint64_t bytes = (uint64_t)h.slots * sizeof(struct msg);
    if (bytes > left - sizeof h)
        return 0;
    struct msg *m = room(h.slots);
    bool whole = segment_read(l->fd, m, bytes, l->end + sizeof h) == (int64_t)bytes && sum_of(&h, m) == h.sum;
    bool sound = whole && (h.slots || !h.seq) && h.slots <= SLOTS_MAX && records_sound(m, h.slots) &&
                 (l->n ? h.seq > l->batch[l->n - 1].seq : h.seq == 0);
    if (sound) {
        keep(l, h.seq, m, h.slots);
        l->end += sizeof h + bytes;
        return 1;
    }
    free(m);
    if (!whole && bytes == left - sizeof h)
        return 0;
    return error_set(err,
                     "%s: found a batch that is none at byte %llu: it is damaged; restore it from a backup",
                     path, (unsigned long long)l->end);
}

static int read_all(struct rules_log *l, const char *path, struct error *err)
{
    char head[sizeof magic];
    struct stat st;
    int rc;
    if (fstat(l->fd, &st) < 0)
        return error_set(err, "%s: %s", path, strerror(errno));
    if (st.st_size < (off_t)sizeof magic) {
        l->end = sizeof magic;
        return segment_write(l->fd, magic, sizeof magic, 0) < 0
                   ? error_set(err, "%s: cannot be written: %s", path, strerror(errno))
                   : 0;
    }
    if (segment_read(l->fd, head, sizeof head, 0) != sizeof head || memcmp(head, magic, sizeof magic))
        return error_set(err, "%s: found another kind of file, expected what a run has written", path);
    l->end = sizeof magic;
    while ((rc = read_batch(l, path, (uint64_t)st.st_size, err)) > 0) {
    }
    return rc;
}

struct rules_log *rules_log_open(const char *dir, bool anew, struct error *err)
{
    char path[4096];
    struct rules_log *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    snprintf(path, sizeof path, "%s/rules.log", dir);
    l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (anew ? O_TRUNC : 0), 0644);
    int bad = l->fd < 0 ? error_set(err, "%s: cannot be opened: %s", path, strerror(errno)) : 0;
    if (!bad && read_all(l, path, err) == 0)
        return l;
    rules_log_close(l);
    return NULL;
}

int rules_log_add(struct rules_log *l, uint64_t seq, const struct msg *m, uint32_t n, struct error *err)
{
    struct batch_head h = {.seq = seq, .slots = n};
    size_t bytes = n * sizeof *m;
    h.sum = sum_of(&h, m);
    uint8_t *whole = malloc(sizeof h + bytes); /* in one go: what a kill leaves of it is its beginning */
    if (!whole)
        abort();
    memcpy(whole, &h, sizeof h);
    memcpy(whole + sizeof h, m, bytes);
    int bad = segment_write(l->fd, whole, sizeof h + bytes, l->end) < 0 || fdatasync(l->fd) < 0;
    free(whole);
    if (bad)
        return error_set(err, "rules.log cannot be written: %s", strerror(errno));
    struct msg *copy = room(n);
    memcpy(copy, m, bytes);
    keep(l, seq, copy, n);
    l->end += sizeof h + bytes;
    return 0;
}

void rules_log_close(struct rules_log *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->n; i++)
        free(l->batch[i].m);
    free(l->batch);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}
