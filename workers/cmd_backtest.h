#ifndef WORKERS_CMD_BACKTEST_H
#define WORKERS_CMD_BACKTEST_H

#include "workers/cli.h"

extern const struct cli_option cmd_backtest_options[];
extern const char cmd_backtest_details[];
int cmd_backtest(const struct cli_args *args);

#endif
