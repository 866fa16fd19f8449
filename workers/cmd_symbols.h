/* ringtape symbols: the symbol table of an instance, with the last trade and quote of each. */
#ifndef WORKERS_CMD_SYMBOLS_H
#define WORKERS_CMD_SYMBOLS_H

#include "workers/cli.h"

extern const struct cli_option cmd_symbols_options[];
int cmd_symbols(const struct cli_args *args);

#endif
