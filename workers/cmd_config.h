/* ringtape config: the settings in force and where each came from; the annotated file, the environment's
 * example and the documentation, all from the table in net/settings.h. */
#ifndef WORKERS_CMD_CONFIG_H
#define WORKERS_CMD_CONFIG_H

#include "workers/cli.h"

extern const struct cli_option cmd_config_options[];
int cmd_config(const struct cli_args *args);

#endif
