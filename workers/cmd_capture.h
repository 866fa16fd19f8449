/* ringtape capture info|cat: what a capture (or an instance's journal) holds. Takes its arguments itself: a
 * `raw` command of the table in main.c. */
#ifndef WORKERS_CMD_CAPTURE_H
#define WORKERS_CMD_CAPTURE_H

int cmd_capture(int argc, char **argv);

#endif
