#include "core/peers.h"

#define MAGIC UINT64_C(0x7265657073746b31)
enum { IDS_MAX = 1 << 22, LINE = 64 };

size_t peers_align(void)
{
    return LINE;
}

size_t peers_footprint(uint32_t ids)
{
    size_t bytes = sizeof(struct peers) + (size_t)ids * sizeof(struct peer_row);
    return ids == 0 || ids > IDS_MAX ? 0 : (bytes + LINE - 1) / LINE * LINE;
}

struct peers *peers_new(void *mem, uint32_t ids)
{
    struct peers *p = mem;
    memset(p, 0, peers_footprint(ids));
    p->ids = ids;
    p->second_ns = INT64_MIN;
    p->magic = MAGIC;
    return p;
}

struct peers *peers_join(void *mem, size_t bytes)
{
    struct peers *p = mem;
    bool there = mem && (uintptr_t)mem % LINE == 0 && bytes >= sizeof *p && p->magic == MAGIC;
    return there && p->ids <= IDS_MAX && bytes >= peers_footprint((uint32_t)p->ids) ? p : NULL;
}

void peers_row(struct peers *p, uint32_t symbol, const struct peer *peer, uint64_t seq, int64_t clock_ns)
{
    if (symbol >= p->ids || seq < p->from_seq)
        return;
    struct peer_row *r = &p->row[symbol];
    r->peer = *peer;
    r->seq = seq;
    r->time_ns = clock_ns;
    p->symbols = symbol < p->symbols ? p->symbols : symbol + 1;
}

void peers_clock(struct peers *p, uint64_t seq, int64_t clock_ns, const struct peer_settings *settings)
{
    int64_t second = bucket_grid_floor(0, clock_ns);
    if (seq < p->from_seq || seq <= p->last_seq)
        return;
    p->second_ns = second > p->second_ns ? second : p->second_ns; /* a bucket's first CLOCK may be older */
    p->settings = *settings;
    p->last_seq = seq;
}

void peers_told(struct peers *p, uint32_t symbol, uint64_t seq, int64_t time_ns)
{
    if (symbol >= p->ids || p->row[symbol].told_seq >= seq)
        return;
    struct peer_row *r = &p->row[symbol];
    r->told_before_ns = r->told_seq ? r->told_ns : INT64_MIN;
    r->told_ns = time_ns;
    r->told_seq = seq;
}

/* ---- the second's symbols, by sector and change */

static bool before(const struct peers *p, uint32_t a, uint32_t b)
{
    const struct peer *x = &p->row[a].peer, *y = &p->row[b].peer;
    if (x->sector != y->sector)
        return x->sector < y->sector;
    return x->change_pct != y->change_pct ? x->change_pct < y->change_pct : a < b;
}

static void sink_down(struct peers *p, uint32_t at, uint32_t n)
{
    uint32_t x = p->row[at].order;
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(p, p->row[child].order, p->row[child + 1].order))
            child++;
        if (!before(p, x, p->row[child].order))
            break;
        p->row[at].order = p->row[child].order;
    }
    p->row[at].order = x;
}

static void sort(struct peers *p, uint32_t n)
{
    for (uint32_t at = n / 2; at-- > 0;)
        sink_down(p, at, n);
    for (uint32_t end = n; end > 1; end--) {
        uint32_t most = p->row[0].order;
        p->row[0].order = p->row[end - 1].order;
        p->row[end - 1].order = most;
        sink_down(p, 0, end - 1);
    }
}

static double change(const struct peers *p, uint32_t i)
{
    return p->row[p->row[i].order].peer.change_pct;
}

/* 1.4826 x the median distance of the sorted changes [from, from + n) from their middle: distances grow from
 * the middle outwards, so they are walked in order from both of its sides. */
static double deviation(const struct peers *p, uint32_t from, uint32_t n, double middle)
{
    uint32_t up = from, end = from + n;
    double last = 0, last_but_one = 0;
    while (up < end && change(p, up) < middle)
        up++;
    uint32_t down = up; /* the next below is down - 1 */
    for (uint32_t i = 0; i <= n / 2; i++) {
        bool below = up == end || (down > from && middle - change(p, down - 1) < change(p, up) - middle);
        last_but_one = last;
        last = below ? middle - change(p, --down) : change(p, up++) - middle;
    }
    return 1.4826 * (n % 2 ? last : (last_but_one + last) / 2);
}

/* One symbol of a sector: is it far from the middle, and was it not told lately? */
static void look(struct peers *p, struct peer_row *r, double middle, double usual)
{
    double tick = r->peer.tick_pct, s = usual > tick ? usual : tick;
    double z = (r->peer.change_pct - middle) / s, most = p->settings.threshold;
    int64_t told_ns = r->told_seq == p->last_seq ? r->told_before_ns : r->told_seq ? r->told_ns : INT64_MIN;
    if (z < most && z > -most)
        return;
    if (told_ns != INT64_MIN && r->time_ns - told_ns < (int64_t)p->settings.cooldown_s * SECOND_NS)
        return;
    r->found = true;
    r->expected = middle;
    r->score = z;
}

void peers_rank(struct peers *p)
{
    uint32_t n = 0;
    p->at = 0;
    for (uint32_t i = 0; i < p->symbols; i++) {
        p->row[i].found = false;
        if (p->row[i].seq >= p->from_seq && p->row[i].seq)
            p->row[n++].order = i;
    }
    if (!(p->settings.threshold > 0))
        return;
    sort(p, n);
    for (uint32_t from = 0, end; from < n; from = end) {
        int64_t sector = p->row[p->row[from].order].peer.sector;
        for (end = from; end < n && p->row[p->row[end].order].peer.sector == sector;)
            end++;
        uint32_t members = end - from, half = from + members / 2;
        if (members < PEERS_MIN)
            continue;
        double middle = members % 2 ? change(p, half) : (change(p, half - 1) + change(p, half)) / 2;
        double usual = deviation(p, from, members, middle);
        for (uint32_t i = from; i < end; i++)
            look(p, &p->row[p->row[i].order], middle, usual);
    }
}

uint32_t peers_next(struct peers *p, peers_name *name, void *ctx, struct msg *out)
{
    while (p->at < p->symbols && !p->row[p->at].found)
        p->at++;
    if (p->at == p->symbols)
        return 0;
    uint32_t symbol = p->at++;
    struct peer_row *r = &p->row[symbol];
    struct anomaly a = {r->peer.change_pct, r->expected, r->score, p->settings.threshold};
    peers_told(p, symbol, p->last_seq, r->time_ns);
    struct msg_anomaly payload;
    anomaly_fill(&payload, ANOMALY_SECTOR, &a,
                 &(struct anomaly_place){name(ctx, symbol), r->time_ns, 0, r->peer.price_e9});
    uint32_t slots = msg_begin(out, MSG_ANOMALY, symbol, sizeof payload);
    msg_set_seq(out, p->last_seq);
    out->event_ns = r->time_ns;
    msg_put(out, 0, &payload, sizeof payload);
    return slots;
}

/* In this order: of who dies in between, the next one finds no rows to rank. */
void peers_done(struct peers *p)
{
    p->from_seq = p->last_seq + 1;
    p->done_before_seq = p->done_seq;
    p->done_seq = p->last_seq;
    p->second_ns = INT64_MIN;
    p->last_seq = 0;
}
