/* ringtape top: an instance at a glance, refreshed; or one plain-text screen of it (--once). */
#ifndef WORKERS_CMD_TOP_H
#define WORKERS_CMD_TOP_H

#include "workers/cli.h"

extern const struct cli_option cmd_top_options[];
int cmd_top(const struct cli_args *args);

#endif
