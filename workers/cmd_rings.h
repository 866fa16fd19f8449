/* ringtape rings: how full each ring of an instance is, was, and what goes through. */
#ifndef WORKERS_CMD_RINGS_H
#define WORKERS_CMD_RINGS_H

#include "workers/cli.h"

extern const struct cli_option cmd_rings_options[];
int cmd_rings(const struct cli_args *args);

#endif
