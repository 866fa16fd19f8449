/* ringtape toplist: the toplists of a running instance. */
#ifndef WORKERS_CMD_TOPLIST_H
#define WORKERS_CMD_TOPLIST_H

#include "workers/cli.h"

extern const struct cli_option cmd_toplist_options[];
int cmd_toplist(const struct cli_args *args);

#endif
