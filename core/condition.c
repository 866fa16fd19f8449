#include "core/condition.h"

#include <string.h>

/* The limits of three letters HLV; -1 if they are none. */
static int limits_of(const char *letters)
{
    int limits = 0;
    switch (letters[0]) {
    case 'y':
        break;
    case 'n':
        limits |= CONDITION_NO_HIGH_LOW;
        break;
    case 'x':
        limits |= CONDITION_HIGH_LOW_EXTENDED;
        break;
    default:
        return -1;
    }
    switch (letters[1]) {
    case 'y':
        break;
    case 'n':
        limits |= CONDITION_NO_LAST;
        break;
    case 'x':
        limits |= CONDITION_LAST_EXTENDED;
        break;
    case 'l':
        limits |= CONDITION_LAST_LATER;
        break;
    case 'f':
        limits |= CONDITION_LAST_FIRST;
        break;
    default:
        return -1;
    }
    if (letters[2] != 'y' && letters[2] != 'n')
        return -1;
    if ((letters[0] == 'n' && letters[1] != 'n') ||
        (letters[0] == 'x' && letters[1] != 'n' && letters[1] != 'x'))
        return -1;
    return letters[2] == 'n' ? limits | CONDITION_NO_VOLUME : limits;
}

/* One row, up to `end`. */
static bool add_row(struct condition_table *t, const char *row, const char *end)
{
    const char *codes = memchr(row, ':', (size_t)(end - row));
    const char *letters = codes ? memchr(codes + 1, ':', (size_t)(end - codes - 1)) : NULL;
    if (!letters || end - letters != 4 || codes == row || letters == codes + 1)
        return false;
    int limits = limits_of(letters + 1);
    if (limits < 0)
        return false;
    for (; row < codes; row++)
        for (const char *c = codes + 1; c < letters; c++) {
            if (*row < 'A' || *row > 'C')
                return false;
            uint8_t *at = &t->limits[condition_tape((uint8_t)*row)][(uint8_t)*c];
            if (*at != CONDITION_UNKNOWN)
                return false; /* given twice, or no code */
            *at = (uint8_t)limits;
        }
    return true;
}

bool condition_table_parse(struct condition_table *t, const char *text)
{
    struct condition_table made;
    memset(&made, CONDITION_UNKNOWN, sizeof made);
    for (int tape = 0; tape < 4; tape++)
        made.limits[tape][0] = 0; /* no code */
    const char *at = strchr(text, ';');
    if (!at || at == text)
        return false;
    while (*at) {
        const char *row = at + 1, *end = row + strcspn(row, ";");
        if (!add_row(&made, row, end))
            return false;
        at = end;
    }
    memcpy(made.limits[0], made.limits[condition_tape('A')], sizeof made.limits[0]);
    *t = made;
    return true;
}
