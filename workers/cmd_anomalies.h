/* ringtape anomalies: the detectors of anomalies. */
#ifndef WORKERS_CMD_ANOMALIES_H
#define WORKERS_CMD_ANOMALIES_H

#include "workers/cli.h"

extern const struct cli_option cmd_anomalies_options[];
int cmd_anomalies(const struct cli_args *args);

#endif
