#include "core/attribute.h"

#include "core/bucket.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define X(name, column_, kind_) [ATTRIBUTE_##name] = {.column = column_, .kind = ATTRIBUTE_##kind_},
const struct attribute_row attribute_rows[ATTRIBUTE_COUNT] = {ATTRIBUTES(X)};
#undef X

enum { VALUES_AT = MSG_FIRST_BYTES, VALUES_BYTES = ATTRIBUTE_COUNT * 8, TEXTS_AT = VALUES_AT + VALUES_BYTES };
_Static_assert(TEXTS_AT + ATTRIBUTE_TEXTS * ATTRIBUTE_TEXT_MAX <= MSG_PAYLOAD_MAX, "an ATTR is a record");

void attributes_clear(struct attributes *a)
{
    memset(a, 0, sizeof *a);
    for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++)
        a->value[i] = KEY_UNKNOWN;
}

bool attributes_known(const struct attributes *a)
{
    bool known = false;
    for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++)
        known |= a->value[i] != KEY_UNKNOWN;
    return known;
}

int64_t attribute_text_key(const char *text, size_t len)
{
    return (int64_t)(XXH3_64bits(text, len) >> 2);
}

bool attribute_set_text(struct attributes *a, enum attribute which, const char *text, size_t len)
{
    bool sound = len > 0 && len <= ATTRIBUTE_TEXT_MAX;
    for (size_t i = 0; sound && i < len; i++)
        sound = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f && text[i] != '"';
    if (!sound)
        return false;
    memset(a->text[which], 0, sizeof a->text[which]);
    memcpy(a->text[which], text, len);
    a->value[which] = attribute_text_key(text, len);
    return true;
}

uint32_t attributes_message(const struct attributes *a, uint32_t symbol, struct msg *out)
{
    int64_t value[ATTRIBUTE_COUNT];
    char texts[ATTRIBUTE_TEXTS * ATTRIBUTE_TEXT_MAX];
    size_t n = 0;
    memcpy(value, a->value, sizeof value);
    for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++) {
        if (value[i] == KEY_UNKNOWN || attribute_rows[i].kind != ATTRIBUTE_TEXT)
            continue; /* the key of a number that is not below 0 is its bits */
        size_t len = strlen(a->text[i]);
        value[i] = (int64_t)len;
        memcpy(texts + n, a->text[i], len);
        n += len;
    }
    uint32_t slots = msg_begin(out, MSG_ATTR, symbol, TEXTS_AT + n);
    out->attr.kind = ATTR_FACTS;
    msg_put(out, VALUES_AT, value, VALUES_BYTES);
    msg_put(out, TEXTS_AT, texts, n);
    return slots;
}

static bool number_sound(int64_t bits)
{
    double d = key_to_double(bits);
    return bits >= 0 && d - d == 0;
}

static bool time_sound(int64_t ns)
{
    return ns >= 0 && ns <= TIME_MAX_NS;
}

bool attributes_read(const struct msg *m, struct attributes *a)
{
    int64_t value[ATTRIBUTE_COUNT];
    size_t at = TEXTS_AT, room = MSG_FIRST_BYTES + (msg_slot_count(m) - 1) * (size_t)MSG_CONT_BYTES;
    bool ok = m->attr.kind == ATTR_FACTS && room >= TEXTS_AT;
    attributes_clear(a);
    if (ok)
        msg_get(m, VALUES_AT, value, VALUES_BYTES);
    for (unsigned i = 0; ok && i < ATTRIBUTE_COUNT; i++) {
        char text[ATTRIBUTE_TEXT_MAX];
        if (value[i] == ATTR_UNKNOWN)
            continue;
        a->value[i] = value[i];
        if (attribute_rows[i].kind != ATTRIBUTE_TEXT) {
            ok = attribute_rows[i].kind == ATTRIBUTE_TIME ? time_sound(value[i]) : number_sound(value[i]);
            continue;
        }
        size_t len = (size_t)value[i];
        ok = len <= sizeof text && at + len <= room;
        if (ok) {
            msg_get(m, at, text, len);
            ok = attribute_set_text(a, (enum attribute)i, text, len);
            at += len;
        }
    }
    return ok;
}

bool attributes_sound(const struct attributes *a)
{
    struct msg m[MSG_SLOTS_MAX];
    struct attributes again;
    for (unsigned i = 0; i < ATTRIBUTE_TEXTS; i++)
        if (!memchr(a->text[i], 0, sizeof a->text[i]))
            return false;
    attributes_message(a, 0, m);
    return attributes_read(m, &again) && !memcmp(&again, a, sizeof again);
}
