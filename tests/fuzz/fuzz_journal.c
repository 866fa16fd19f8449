/* What reads a journal. The first byte says what the rest is: a block's payload, on its own (0) or within a
 * sound segment, so that checksums do not stand in the way (1); a segment file (2); an outbox segment (3); a
 * payload that is compressed into a sound segment (4); what a block says is a compressed payload (5).
 * Whatever it is, what comes out are whole records, and a payload's records code to a payload that gives them
 * again. */
#include "net/capture.h"
#include "net/journal.h"
#include "net/journal_format.h"
#include "net/journal_verify.h"
#include "net/outbox.h"
#include "net/source.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 4096, BYTES = 1 << 20 };
static struct msg out[SLOTS], again[SLOTS];
static struct codec_decoder decoder;
static struct codec_encoder encoder;

/* Decodes a copy of exactly its size; the slots of whole records. */
static size_t decode(const uint8_t *payload, size_t n, struct msg *to, int64_t *end)
{
    size_t slots = 0;
    uint8_t *copy = calloc(1, n + CODEC_SLACK_BYTES);
    assert(copy);
    memcpy(copy, payload, n);
    codec_decode_begin(&decoder, 1, copy, n);
    while (slots + MSG_SLOTS_MAX <= SLOTS && (*end = codec_decode(&decoder, to + slots, SLOTS - slots)) > 0)
        slots += (size_t)*end;
    free(copy);
    return slots;
}

static void payload_alone(const uint8_t *data, size_t size)
{
    static uint8_t coded[SLOTS * 80 + CODEC_RECORD_BYTES_MAX + CODEC_SLACK_BYTES];
    int64_t end = 0;
    size_t n = decode(data, size, out, &end), used = 0;
    for (size_t i = 0; i < n; i += msg_slot_count(&out[i]))
        assert(msg_valid(&out[i], n - i) && !(out[i].flags & MSG_F_PHASE));
    codec_encode_begin(&encoder, 1);
    assert(codec_encode(&encoder, out, n, coded, sizeof coded - CODEC_SLACK_BYTES, &used) == n);
    assert(decode(coded, used, again, &end) == n && end >= 0);
    assert(!memcmp(out, again, n * sizeof *out));
}

static void read_capture(const char *path)
{
    static const struct source_config config = {.symbols_max = 1000};
    struct error err;
    char spec[96];
    snprintf(spec, sizeof spec, "capture:%s", path);
    struct source *s = source_open(spec, &config, &err);
    int n;
    if (!s) {
        assert(err.text[0]);
        return;
    }
    while ((n = source_read(s, out, SLOTS)) > 0)
        for (int i = 0; i < n; i += (int)msg_slot_count(&out[i]))
            assert(msg_valid(&out[i], (size_t)(n - i)) && !capture_record_fault(&out[i]));
    assert(n == SOURCE_END || s->failure.text[0]);
    source_close(s);
}

/* A sound segment of one block, in which the payload (of what `content` holds) is stored as it is. */
static size_t segment_around(const uint8_t *payload, size_t n, const uint8_t *content, size_t content_bytes,
                             bool zstd, uint8_t *to)
{
    static const uint8_t node[SEGMENT_ID_BYTES];
    struct segment_head h;
    struct codec_summary sum = codec_summary_none;
    int64_t end = 0;
    size_t slots = decode(content, content_bytes, out, &end);
    codec_summarise(&sum, out, slots);
    journal_segment_head(&h, 1, node);
    h.first_seq = 1;
    h.version = zstd ? JOURNAL_VERSION_COMPRESSED : JOURNAL_VERSION;
    journal_segment_seal(&h);
    memcpy(to, &h, sizeof h);
    journal_block_seal((struct block_head *)(to + sizeof h), &sum, zstd ? JOURNAL_ZSTD : 0, payload,
                       (uint32_t)n);
    memcpy(to + sizeof h + sizeof(struct block_head), payload, n);
    return sizeof h + sizeof(struct block_head) + n;
}

/* A directory in memory would need a mount: the segment is read where the outbox keeps it. */
static void read_outbox(const uint8_t *data, size_t size)
{
    static char dir[] = "/tmp/fuzz-outboxXXXXXX", command[128];
    static bool made;
    char path[128];
    struct error err;
    struct outbox_record r;
    if (!made && !mkdtemp(dir))
        return;
    made = true;
    snprintf(path, sizeof path, "%s/00000000000000000000.rto", dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return;
    fwrite(data, 1, size, f);
    fclose(f);
    struct outbox *o = outbox_open(dir, 1 << 20, NULL, &err);
    if (o) {
        struct outbox_reader *reader = outbox_reader_open(dir, 0, NULL, &err);
        uint64_t n = 0;
        int rc = 0;
        while (reader && (rc = outbox_read(reader, &r, &err)) == 1)
            assert(r.offset == n++);
        assert(!reader ||
               (rc == 0 && n == outbox_next_offset(o))); /* the writer's recovery left what can be read */
        outbox_reader_close(reader);
        outbox_close(o);
    }
    snprintf(command, sizeof command, "rm -rf %s/*", dir);
    if (system(command) || rmdir(dir))
        return;
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    made = false;
}

static void tell_nothing(void *ctx, const char *file, uint64_t offset, const char *what)
{
    (void)ctx, (void)offset;
    assert(file[0] && what[0]);
}

static void verify_capture(const char *path)
{
    struct journal_verified v;
    struct error err;
    assert(journal_verify(path, tell_nothing, NULL, &v, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t packed[BYTES + BYTES / 128 + 1024], file[sizeof packed + 256] __attribute__((aligned(64)));
    char path[64];
    if (size == 0 || size > BYTES)
        return 0;
    int kind = data[0] % 6;
    data++;
    size--;
    if (kind == 0) {
        payload_alone(data, size);
    } else if (kind == 3) {
        read_outbox(data, size);
    } else {
        int fd = memfd_create("fuzz", 0);
        if (fd < 0)
            return 0;
        if (kind == 1) {
            size = segment_around(data, size, data, size, false, file);
            data = file;
        } else if (kind == 4) {
            size_t n = ZSTD_compress(packed, sizeof packed, data, size, 1);
            assert(!ZSTD_isError(n));
            size = segment_around(packed, n, data, size, true, file);
            data = file;
        } else if (kind == 5) {
            size = segment_around(data, size, data, 0, true, file);
            data = file;
        }
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (pwrite(fd, data, size, 0) == (ssize_t)size) {
            read_capture(path);
            verify_capture(path);
        }
        close(fd);
    }
    return 0;
}
