/* ringtape metrics: the metrics that rules can name. */
#ifndef WORKERS_CMD_METRICS_H
#define WORKERS_CMD_METRICS_H

#include "workers/cli.h"

extern const struct cli_option cmd_metrics_options[];
int cmd_metrics(const struct cli_args *args);

#endif
