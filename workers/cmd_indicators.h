/* ringtape indicators: the indicators' catalogue; their values over a file of bars. */
#ifndef WORKERS_CMD_INDICATORS_H
#define WORKERS_CMD_INDICATORS_H

#include "workers/cli.h"

extern const struct cli_option cmd_indicators_options[];
int cmd_indicators(const struct cli_args *args);

#endif
