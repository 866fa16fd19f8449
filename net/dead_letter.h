/* Dead letters: the events that a sink's server refuses for good, as JSON lines in DIR/SINK.jsonl:
 *
 *   {"outbox":"<id>","offset":7,"symbol":"SPY","kind":"alert","reason":"…","event":{…}}
 *
 * The file only grows; who has dealt with a letter may remove its line, or the file, while nothing delivers.
 *
 * Threading: one writer per DIR and SINK.
 */
#ifndef NET_DEAD_LETTER_H
#define NET_DEAD_LETTER_H

#include "core/error.h"
#include "net/outbox.h"

/* Makes the letter durable; DIR is made if it is missing. 1, or 0 if the file has it already (the event was
 * refused again after a restart), -1 with err. */
int dead_letter_write(const char *dir, const char *sink, const char *outbox_id,
                      const struct outbox_record *record, const char *reason, struct error *err)
    __attribute__((warn_unused_result));

#endif
