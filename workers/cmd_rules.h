#ifndef WORKERS_CMD_RULES_H
#define WORKERS_CMD_RULES_H

#include "workers/cli.h"

extern const struct cli_option cmd_rules_options[];
int cmd_rules(const struct cli_args *args);

#endif
