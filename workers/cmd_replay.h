#ifndef WORKERS_CMD_REPLAY_H
#define WORKERS_CMD_REPLAY_H

#include "workers/cli.h"

extern const struct cli_option cmd_replay_options[];
int cmd_replay(const struct cli_args *args);

#endif
