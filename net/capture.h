/* What a capture may hold: for those who read one that may come from anywhere. */
#ifndef NET_CAPTURE_H
#define NET_CAPTURE_H

#include "core/message.h"

/* NULL, or what is wrong with a whole record whose frame is sound (msg_valid): a payload that its lengths do
 * not fit, a bucket or calendar that there is not, a type that no engine takes. What passes can be given to
 * an engine, and its name or text be read. */
const char *capture_record_fault(const struct msg *m);

#endif
