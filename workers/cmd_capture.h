#ifndef WORKERS_CMD_CAPTURE_H
#define WORKERS_CMD_CAPTURE_H

#include "workers/cli.h"

extern const struct cli_option cmd_capture_options[];
int cmd_capture(const struct cli_args *args);

#endif
