/* ringtape backup, ringtape restore: an instance's directory as a copy that can be checked, and back.
 *
 * A backup is a directory: capture/ (sealed segments), outbox/, dead-letters/, alerts.jsonl and its cursor
 * (the jsonl sink), rules.json and settings.ini (those in force, from the journal), and manifest.json, which
 * is written last: each file with its bytes, xxh3_128 and, for segments, what it holds. It is made as
 * TARGET.partial and renamed when all of it is on disk.
 *
 * Of a running instance each file is copied before the one that feeds it (cursors, outbox, journal), so that
 * no cursor is ahead of the outbox, and the outbox not of the journal.
 */
#ifndef WORKERS_CMD_BACKUP_H
#define WORKERS_CMD_BACKUP_H

#include "workers/cli.h"

extern const struct cli_option cmd_backup_options[], cmd_restore_options[];
int cmd_backup(const struct cli_args *args);
int cmd_restore(const struct cli_args *args);

#endif
