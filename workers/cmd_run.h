#ifndef WORKERS_CMD_RUN_H
#define WORKERS_CMD_RUN_H

#include "workers/cli.h"

extern const struct cli_option cmd_run_options[];
int cmd_run(const struct cli_args *args);

#endif
