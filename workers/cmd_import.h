#ifndef WORKERS_CMD_IMPORT_H
#define WORKERS_CMD_IMPORT_H

#include "workers/cli.h"

extern const struct cli_option cmd_import_options[];
int cmd_import(const struct cli_args *args);

#endif
