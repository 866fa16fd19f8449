/* ringtape scan: the symbols of a running instance for which an expression holds now; without one, what it
 * may name. */
#ifndef WORKERS_CMD_SCAN_H
#define WORKERS_CMD_SCAN_H

#include "workers/cli.h"

extern const struct cli_option cmd_scan_options[];
int cmd_scan(const struct cli_args *args);

#endif
