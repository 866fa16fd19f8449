/* A secret: the first line of a file that a setting names. It is read each time that it is used, so that a
 * new one needs no restart, and it is in no log and no other setting. Whoever reads it wipes it. */
#ifndef NET_SECRET_H
#define NET_SECRET_H

#include "core/error.h"

#include <stddef.h>

enum { SECRET_BYTES = 1024 };

/* The first line of the file at `path`, without its end; "" if path is "" or NULL. -1 with err, which names
 * the setting: it cannot be read, or the line is empty or too long. */
int secret_read(const char *setting, const char *path, char line[SECRET_BYTES], struct error *err)
    __attribute__((warn_unused_result));

#endif
