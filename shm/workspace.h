/* The workspace: the one file of shared memory of an instance. Its header, then the objects of the topology.
 *
 * The file is on hugetlbfs (2 MiB pages) or on tmpfs (/dev/shm, 4 KiB pages); DIR/workspace is a symbolic
 * link to it, DIR/lock is held (flock) by the creator, the file itself is locked shared by each process that
 * joined to write. So a second instance in DIR is refused while any process of the first lives.
 *
 * Every page is reserved at creation: a lack of memory is a start-up error, never a SIGBUS later.
 *
 * A process maps the file where it likes; objects are found by name and hold offsets, never pointers.
 */
#ifndef SHM_WORKSPACE_H
#define SHM_WORKSPACE_H

#include "core/error.h"
#include "shm/counters.h"
#include "shm/topology.h"

#include <stdbool.h>

/* One more at each change of what is in shared memory that sizes do not show. */
enum { WORKSPACE_VERSION = 1, WORKSPACE_HEADER_BYTES = 4096 };

enum page_policy {
    PAGES_AUTO,  /* 2 MiB pages if they can be had, else 4 KiB with a warning */
    PAGES_HUGE,  /* 2 MiB pages or an error */
    PAGES_NORMAL /* 4 KiB pages */
};

struct workspace;

/* Creates the instance's workspace in `dir` (made if missing), objects formatted. What an earlier instance
 * left there is removed: call workspace_adopt first if it matters. `schema_hash`: counters_schema_hash(), and
 * whatever else of the content joiners must agree on. `warning` (may be NULL): text "" or what to tell the
 * operator. NULL with err: another instance lives in dir (pids named), no memory (how much, how to get it) …
 */
struct workspace *workspace_create(const char *dir, const struct topology *t, uint64_t schema_hash,
                                   enum page_policy pages, struct error *warning, struct error *err);

/* Takes over what an instance that died left in `dir`: its rings, staging and tables as they were. The caller
 * counts as its creator from then on. NULL with err if there is none, it is of another layout than `t`, or it
 * is alive. */
struct workspace *workspace_adopt(const char *dir, const struct topology *t, uint64_t schema_hash,
                                  struct error *err);

enum workspace_mode { WORKSPACE_READ, WORKSPACE_WRITE };

/* Maps the workspace of the instance in `dir`. NULL with err: not running; not a workspace; another version,
 * layout or schema; truncated; still being made. */
struct workspace *workspace_join(const char *dir, enum workspace_mode mode, uint64_t schema_hash,
                                 struct error *err);

/* Unmaps and closes. The workspace stays; if this process created it, nobody owns it then. */
void workspace_leave(struct workspace *ws);

/* The creator's clean shutdown: removes file and link, then leaves. */
void workspace_remove(struct workspace *ws);

/* True while the process that created (or adopted) it lives: false says that what is read is of the past. */
bool workspace_alive(const struct workspace *ws);

const struct topology *workspace_topology(const struct workspace *ws);
uint64_t workspace_bytes(const struct workspace *ws);
uint64_t workspace_page_bytes(const struct workspace *ws);
int32_t workspace_creator_pid(const struct workspace *ws);
int64_t workspace_created_ns(const struct workspace *ws); /* UTC */

/* The object's memory; its size in *bytes (may be NULL). NULL if the topology has none of that name and
 * index. Read-only workspaces give read-only memory: only an object's reading functions may be used. */
void *workspace_object(const struct workspace *ws, const char *name, uint32_t index, size_t *bytes);

/* The objects that roles and readers use most, joined. NULL if there is none (k out of range). */
struct counters *workspace_counters(const struct workspace *ws, enum role_kind role, uint32_t k);
struct histogram *workspace_histogram(const struct workspace *ws, enum role_kind role, uint32_t k,
                                      unsigned id);
struct symtab *workspace_symtab(const struct workspace *ws);
struct ruletab *workspace_ruletab(const struct workspace *ws);
struct rule_stats_table *workspace_rule_stats(const struct workspace *ws, uint32_t scanner);
struct heartbeats *workspace_heartbeats(const struct workspace *ws);
struct markettab *workspace_markettab(const struct workspace *ws); /* NULL: there is no market role */
struct valuetab *workspace_valuetab(const struct workspace *ws);   /* NULL: scans are not enabled */
struct errlog *workspace_errlog(const struct workspace *ws);

#endif
