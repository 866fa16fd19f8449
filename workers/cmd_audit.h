/* ringtape audit: for each stage of an instance, produced = delivered + what is counted under a named reason.
 */
#ifndef WORKERS_CMD_AUDIT_H
#define WORKERS_CMD_AUDIT_H

#include "workers/cli.h"

extern const struct cli_option cmd_audit_options[];
int cmd_audit(const struct cli_args *args);

#endif
