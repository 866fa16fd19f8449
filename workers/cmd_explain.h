#ifndef WORKERS_CMD_EXPLAIN_H
#define WORKERS_CMD_EXPLAIN_H

#include "workers/cli.h"

extern const struct cli_option cmd_explain_options[];
extern const char cmd_explain_details[];
extern const char cmd_why_not_details[];
int cmd_explain(const struct cli_args *args);
int cmd_why_not(const struct cli_args *args);

#endif
