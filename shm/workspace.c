#include "shm/workspace.h"

#include "core/version.h"
#include "shm/errlog.h"
#include "shm/file_lock.h"
#include "shm/heartbeat.h"
#include "shm/markettab.h"
#include "shm/valuetab.h"
#include "shm/object.h"
#include "shm/ruletab.h"
#include "shm/symtab.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define WORKSPACE_MAGIC UINT64_C(0x65706174676e6972) /* "ringtape" */

#define SHM_DIR   "/dev/shm"
#define SYSFS_2M  "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define OPEN_MODE 0640

enum { SMALL_PAGE = 4096, HUGE_PAGE = 2 << 20 };

/* The first three fields, and program, stay where they are in every version. */
struct header {
    uint64_t magic;
    uint64_t version; /* stored last, with release; 0 = still being made */
    char program[32]; /* the version of ringtape that made it */
    uint64_t bytes, page_bytes;
    uint64_t layout_hash, schema_hash;
    uint64_t creator_pid, creator_start_ticks;
    int64_t created_ns;
    struct topology_options options;
};
_Static_assert(sizeof(struct header) <= WORKSPACE_HEADER_BYTES, "before the first object");

struct workspace {
    struct header *header; /* the start of the mapping */
    uint64_t bytes;
    int fd;      /* the file, locked shared unless it is only read */
    int lock_fd; /* the creator's DIR/lock, else -1 */
    char link[PATH_MAX];
    struct topology topology;
};

/* The file while it is being made. */
struct file {
    int fd;
    uint64_t bytes, page_bytes;
    char path[PATH_MAX];
};

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static unsigned long long mib(uint64_t bytes)
{
    return (unsigned long long)((bytes + (1 << 20) - 1) >> 20);
}

/* The processes that hold a flock on the file, for messages: "1234 5678", "unknown" outside their namespace.
 */
static void lock_holders(int fd, char *out, size_t size)
{
    struct stat st;
    char line[256];
    size_t used = 0;
    FILE *f = fopen("/proc/locks", "re");
    snprintf(out, size, "unknown");
    if (f && fstat(fd, &st) == 0)
        while (fgets(line, sizeof line, f)) {
            int pid;
            unsigned dev_major, dev_minor;
            unsigned long inode;
            if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &dev_major, &dev_minor, &inode) == 4 &&
                inode == st.st_ino && makedev(dev_major, dev_minor) == st.st_dev && used + 12 < size)
                used += (size_t)snprintf(out + used, size - used, used ? " %d" : "%d", pid);
        }
    if (f)
        fclose(f);
}

/* Takes DIR/lock, which the creator holds for as long as it lives. */
static int lock_dir(const char *dir, struct error *err)
{
    char path[PATH_MAX], pids[64];
    if (mkdir(dir, 0755) && errno != EEXIST)
        return error_set(err, "%s: cannot make the directory: %s", dir, strerror(errno));
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, OPEN_MODE);
    if (fd < 0)
        return error_set(err, "%s: cannot open: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    lock_holders(fd, pids, sizeof pids);
    close(fd);
    return error_set(err, "%s: an instance is running here as process %s: stop it, or use another directory",
                     dir, pids);
}

/* True if `link` is a symbolic link to a file that a workspace's would be named as; its target in `file`. */
static bool link_target(const char *link, char file[PATH_MAX])
{
    ssize_t n = readlink(link, file, PATH_MAX - 1);
    if (n <= 0)
        return false;
    file[n] = 0;
    const char *name = strrchr(file, '/');
    return name && strncmp(name, "/ringtape-", 10) == 0;
}

/* Takes the file for the creator alone: nobody may still write there. */
static int lock_file_alone(int fd, const char *link, struct error *err)
{
    char pids[128];
    if (file_lock(fd) == 0)
        return 0;
    lock_holders(fd, pids, sizeof pids);
    return error_set(
        err, "%s: the instance's creator is gone, but its roles still run as process %s: stop them first",
        link, pids);
}

/* Removes what an earlier instance left. The caller holds DIR/lock. */
static int remove_old(const char *link, struct error *err)
{
    char file[PATH_MAX];
    struct stat st;
    if (lstat(link, &st))
        return errno == ENOENT ? 0 : error_set(err, "%s: %s", link, strerror(errno));
    if (!link_target(link, file))
        return error_set(err, "%s: expected a link that ringtape made; found something else: move it away",
                         link);
    int fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        if (lock_file_alone(fd, link, err)) {
            close(fd);
            return -1;
        }
        unlink(file);
        close(fd);
    }
    if (unlink(link))
        return error_set(err, "%s: cannot remove: %s", link, strerror(errno));
    return 0;
}

static int64_t read_number(const char *path)
{
    long long n = -1;
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%lld", &n) != 1)
            n = -1;
        fclose(f);
    }
    return n;
}

/* Makes the file in the file system at `mount`, all of its pages reserved. One per DIR: the name is DIR's
 * hash, so that what a creator left that died before it made the link is found again. */
static int make_file(struct file *f, const char *mount, const char *dir, uint64_t bytes, uint64_t page_bytes,
                     struct error *err)
{
    f->page_bytes = page_bytes;
    f->bytes = round_up(bytes, page_bytes);
    if ((size_t)snprintf(f->path, sizeof f->path, "%s/ringtape-%016" PRIx64, mount,
                         (uint64_t)XXH3_64bits(dir, strlen(dir))) >= sizeof f->path)
        return error_set(err, "%s: the path is too long", mount);
    unlink(f->path);
    f->fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, OPEN_MODE);
    if (f->fd < 0)
        return error_set(err, "cannot make %s: %s", f->path, strerror(errno));
    int failed = ftruncate(f->fd, (off_t)f->bytes) ? errno : 0;
    if (!failed && fallocate(f->fd, 0, 0, (off_t)f->bytes))
        failed = errno;
    if (failed) {
        unlink(f->path);
        close(f->fd);
        return error_set(err, "cannot reserve %llu MiB in %s: %s", mib(f->bytes), mount, strerror(failed));
    }
    return 0;
}

/* Says what is missing for 2 MiB pages, with the commands that give it. */
static int explain_huge(bool mounted, uint64_t pages, const struct error *failure, struct error *err)
{
    int64_t all = read_number(SYSFS_2M "nr_hugepages");
    int64_t unused = read_number(SYSFS_2M "free_hugepages") - read_number(SYSFS_2M "resv_hugepages");
    char fix[256] = "";
    if (all < 0)
        return error_set(err, "no 2 MiB pages: the kernel has none (" SYSFS_2M "nr_hugepages)");
    if (unused < (int64_t)pages)
        snprintf(fix, sizeof fix, "sysctl -w vm.nr_hugepages=%lld",
                 (long long)(all + (int64_t)pages - unused));
    else if (mounted) /* enough pages, and yet the mount gave none */
        snprintf(fix, sizeof fix, "let this user write to the mount (mode=, uid=), or give it room (size=)");
    if (!mounted)
        snprintf(
            fix + strlen(fix), sizeof fix - strlen(fix),
            "%smkdir -p /dev/hugepages && mount -t hugetlbfs -o pagesize=2M,mode=1770 none /dev/hugepages",
            *fix ? " && " : "");
    return error_set(err, "no 2 MiB pages: %llu needed, %lld of %lld free%s%s%s%s", (unsigned long long)pages,
                     (long long)unused, (long long)all,
                     mounted ? "; " : ", no hugetlbfs of 2 MiB pages is mounted",
                     mounted ? failure->text : "", *fix ? ". Fix: " : "", fix);
}

/* Tries every hugetlbfs of 2 MiB pages. */
static int make_huge_file(struct file *f, const char *dir, uint64_t bytes, struct error *err)
{
    struct error failure = {""};
    bool mounted = false, made = false;
    FILE *mounts = setmntent("/proc/mounts", "re");
    struct mntent *m;
    while (mounts && !made && (m = getmntent(mounts))) {
        struct statfs fs;
        if (strcmp(m->mnt_type, "hugetlbfs") || statfs(m->mnt_dir, &fs) || fs.f_bsize != HUGE_PAGE)
            continue;
        mounted = true;
        made = make_file(f, m->mnt_dir, dir, bytes, HUGE_PAGE, &failure) == 0;
    }
    if (mounts)
        endmntent(mounts);
    return made ? 0 : explain_huge(mounted, round_up(bytes, HUGE_PAGE) / HUGE_PAGE, &failure, err);
}

static int make_small_file(struct file *f, const char *dir, uint64_t bytes, struct error *err)
{
    struct statfs fs;
    if (statfs(SHM_DIR, &fs) || fs.f_type != TMPFS_MAGIC)
        return error_set(err, SHM_DIR ": expected a tmpfs. Fix: mount -t tmpfs -o mode=1777 none " SHM_DIR);
    uint64_t unused = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    uint64_t all = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
    struct error failure = {"not enough room"};
    if ((all == 0 || round_up(bytes, SMALL_PAGE) <= unused) &&
        make_file(f, SHM_DIR, dir, bytes, SMALL_PAGE, &failure) == 0)
        return 0;
    return error_set(
        err,
        "the workspace needs %llu MiB, " SHM_DIR " has %llu of %llu MiB free (%s). Fix: mount -o "
        "remount,size=%lluM " SHM_DIR " (a container: its shm size), or less in rings.*, limits.*, "
        "journal.staging_mb",
        mib(bytes), mib(unused), mib(all), failure.text, mib(all + bytes));
}

static int make_by_policy(struct file *f, const char *dir, uint64_t bytes, enum page_policy pages,
                          struct error *warning, struct error *err)
{
    struct error failure;
    if (pages == PAGES_NORMAL)
        return make_small_file(f, dir, bytes, err);
    if (make_huge_file(f, dir, bytes, &failure) == 0)
        return 0;
    if (pages == PAGES_HUGE)
        return error_set(err, "workspace: %s", failure.text);
    if (make_small_file(f, dir, bytes, err))
        return -1;
    if (warning)
        error_set(warning, "workspace: 4 KiB pages, which are slower: %s", failure.text);
    return 0;
}

static struct workspace *map(int fd, uint64_t bytes, enum workspace_mode mode, struct error *err)
{
    bool write = mode == WORKSPACE_WRITE;
    struct workspace *ws = calloc(1, sizeof *ws);
    if (!ws) {
        error_set(err, "workspace: out of memory");
        return NULL;
    }
    void *mem = mmap(NULL, bytes, write ? PROT_READ | PROT_WRITE : PROT_READ,
                     write ? MAP_SHARED | MAP_POPULATE : MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        error_set(err, "workspace: cannot map %llu MiB: %s", mib(bytes), strerror(errno));
        free(ws);
        return NULL;
    }
    ws->header = mem;
    ws->bytes = bytes;
    ws->fd = fd;
    ws->lock_fd = -1;
    return ws;
}

static void own(struct header *h)
{
    pid_t pid = getpid();
    atomics_store_relaxed_u64(&h->creator_start_ticks, process_start_ticks(pid));
    atomics_store_release_u64(&h->creator_pid, (uint64_t)pid);
}

static void format(struct workspace *ws, const struct file *f, uint64_t schema_hash)
{
    struct header *h = ws->header;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    h->magic = WORKSPACE_MAGIC;
    snprintf(h->program, sizeof h->program, "%s", RINGTAPE_VERSION);
    h->bytes = f->bytes;
    h->page_bytes = f->page_bytes;
    h->layout_hash = ws->topology.layout_hash;
    h->schema_hash = schema_hash;
    h->created_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    h->options = ws->topology.options;
    own(h);
    for (uint32_t i = 0; i < ws->topology.object_count; i++) {
        const struct topology_object *o = &ws->topology.objects[i];
        topology_make(o, (char *)h + o->offset);
    }
    atomics_store_release_u64(&h->version, WORKSPACE_VERSION);
}

/* Replaces the link in one step, so that a joiner sees a whole workspace or none. */
static int make_link(const char *file, const char *link, struct error *err)
{
    char next[PATH_MAX + 8];
    snprintf(next, sizeof next, "%s.new", link);
    unlink(next);
    if (symlink(file, next) || rename(next, link))
        return error_set(err, "%s: cannot make the link: %s", link, strerror(errno));
    return 0;
}

/* `dir` as it is known to everyone, and the link in it. */
static int find_dir(const char *dir, char real[PATH_MAX], char link[PATH_MAX], struct error *err)
{
    if (!realpath(dir, real) || (size_t)snprintf(link, PATH_MAX, "%s/workspace", real) >= PATH_MAX)
        return error_set(err, "%s: %s", dir, strerror(errno));
    return 0;
}

static struct workspace *create_file(const char *real, const char *link, const struct topology *t,
                                     uint64_t schema_hash, enum page_policy pages, struct error *warning,
                                     struct error *err)
{
    struct file f;
    if (make_by_policy(&f, real, t->bytes, pages, warning, err))
        return NULL;
    struct workspace *ws = NULL;
    if (flock(f.fd, LOCK_SH | LOCK_NB))
        error_set(err, "%s: cannot lock: %s", f.path, strerror(errno));
    else
        ws = map(f.fd, f.bytes, WORKSPACE_WRITE, err);
    if (ws) {
        ws->topology = *t;
        snprintf(ws->link, sizeof ws->link, "%s", link);
        format(ws, &f, schema_hash);
        if (make_link(f.path, link, err) == 0)
            return ws;
        munmap(ws->header, ws->bytes);
        free(ws);
    }
    unlink(f.path);
    close(f.fd);
    return NULL;
}

struct workspace *workspace_create(const char *dir, const struct topology *t, uint64_t schema_hash,
                                   enum page_policy pages, struct error *warning, struct error *err)
{
    char real[PATH_MAX], link[PATH_MAX];
    assert(t->layout_hash && "topology_finish comes first");
    if (warning)
        warning->text[0] = 0;
    int lock_fd = lock_dir(dir, err);
    if (lock_fd < 0)
        return NULL;
    struct workspace *ws = NULL;
    if (find_dir(dir, real, link, err) == 0 && remove_old(link, err) == 0)
        ws = create_file(real, link, t, schema_hash, pages, warning, err);
    if (ws)
        ws->lock_fd = lock_fd;
    else
        close(lock_fd);
    return ws;
}

/* What to do about a workspace of another build. */
static int refuse(const char *link, const struct header *h, const char *what, uint64_t found,
                  uint64_t expected, struct error *err)
{
    return error_set(
        err,
        "%s: %s %016llx, expected %016llx: the instance was started by another build (ringtape %.31s, "
        "this is " RINGTAPE_VERSION "). Use that one, or restart the instance with this one",
        link, what, (unsigned long long)found, (unsigned long long)expected, h->program);
}

/* Everything that can be wrong with a workspace; its topology in *t. */
static int check(const char *link, const struct header *h, uint64_t file_bytes, uint64_t schema_hash,
                 struct topology *t, struct error *err)
{
    if (h->magic != WORKSPACE_MAGIC)
        return error_set(err,
                         "%s: magic %016llx, expected %016llx: this is no workspace. Remove it and start the "
                         "instance again",
                         link, (unsigned long long)h->magic, (unsigned long long)WORKSPACE_MAGIC);
    if (h->version == 0)
        return error_set(err, "%s: still being made: try again", link);
    if (h->version != WORKSPACE_VERSION)
        return refuse(link, h, "version", h->version, WORKSPACE_VERSION, err);
    if (h->bytes != file_bytes)
        return error_set(err, "%s: truncated: %llu bytes, expected %llu. Restart the instance", link,
                         (unsigned long long)file_bytes, (unsigned long long)h->bytes);
    if (topology_build(t, &h->options, err))
        return error_prefix(err, "%s: its options make no topology, restart the instance", link);
    if (t->layout_hash != h->layout_hash)
        return refuse(link, h, "layout", h->layout_hash, t->layout_hash, err);
    if (t->bytes > file_bytes)
        return error_set(err, "%s: too small: %llu bytes, its topology needs %llu. Restart the instance",
                         link, (unsigned long long)file_bytes, (unsigned long long)t->bytes);
    if (h->schema_hash != schema_hash)
        return refuse(link, h, "schema of counters and metrics", h->schema_hash, schema_hash, err);
    return 0;
}

static int open_file(const char *dir, const char *link, enum workspace_mode mode, struct error *err)
{
    char file[PATH_MAX];
    int fd = open(link, (mode == WORKSPACE_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == ENOENT && link_target(link, file))
        return error_set(err,
                         "%s: no instance is running here: its memory %s is gone (a reboot?). Start it with: "
                         "ringtape run",
                         dir, file);
    if (errno == ENOENT)
        return error_set(err, "%s: no instance is running here (no %s). Start it with: ringtape run", dir,
                         link);
    return error_set(err, "%s: cannot open: %s", link, strerror(errno));
}

/* Who opens a file: readers take no lock, writers share one, who adopts takes it alone. */
enum opening { OPEN_READ, OPEN_WRITE, OPEN_ALONE };

static struct workspace *join_fd(int fd, const char *link, enum opening how, uint64_t schema_hash,
                                 struct topology *t, struct error *err)
{
    struct stat st;
    struct header h;
    if (how == OPEN_ALONE && lock_file_alone(fd, link, err))
        return NULL;
    if ((how == OPEN_WRITE && flock(fd, LOCK_SH | LOCK_NB)) || fstat(fd, &st) || st.st_nlink == 0) {
        error_set(err, "%s: is being replaced: try again", link);
        return NULL;
    }
    if (st.st_size < WORKSPACE_HEADER_BYTES || pread(fd, &h, sizeof h, 0) != sizeof h) {
        error_set(err, "%s: truncated: %lld bytes, expected at least %d. Restart the instance", link,
                  (long long)st.st_size, WORKSPACE_HEADER_BYTES);
        return NULL;
    }
    if (check(link, &h, (uint64_t)st.st_size, schema_hash, t, err))
        return NULL;
    struct workspace *ws = map(fd, h.bytes, how == OPEN_READ ? WORKSPACE_READ : WORKSPACE_WRITE, err);
    if (ws) {
        ws->topology = *t;
        snprintf(ws->link, sizeof ws->link, "%s", link);
    }
    return ws;
}

static struct workspace *join(const char *dir, enum opening how, uint64_t schema_hash, struct error *err)
{
    char real[PATH_MAX], link[PATH_MAX];
    if (!realpath(dir, real)) {
        error_set(err, "%s: no instance is running here: %s. Start it with: ringtape run", dir,
                  strerror(errno));
        return NULL;
    }
    if (find_dir(dir, real, link, err))
        return NULL;
    int fd = open_file(dir, link, how == OPEN_READ ? WORKSPACE_READ : WORKSPACE_WRITE, err);
    if (fd < 0)
        return NULL;
    struct topology *t = malloc(sizeof *t);
    struct workspace *ws = t ? join_fd(fd, link, how, schema_hash, t, err) : NULL;
    if (!t)
        error_set(err, "workspace: out of memory");
    if (!ws)
        close(fd);
    free(t);
    return ws;
}

struct workspace *workspace_join(const char *dir, enum workspace_mode mode, uint64_t schema_hash,
                                 struct error *err)
{
    return join(dir, mode == WORKSPACE_WRITE ? OPEN_WRITE : OPEN_READ, schema_hash, err);
}

struct workspace *workspace_adopt(const char *dir, const struct topology *t, uint64_t schema_hash,
                                  struct error *err)
{
    int lock_fd = lock_dir(dir, err);
    if (lock_fd < 0)
        return NULL;
    struct workspace *ws = join(dir, OPEN_ALONE, schema_hash, err);
    if (ws && ws->topology.layout_hash != t->layout_hash) {
        error_set(err, "%s: its layout %016llx is not that of the settings, %016llx", ws->link,
                  (unsigned long long)ws->topology.layout_hash, (unsigned long long)t->layout_hash);
        workspace_leave(ws);
        ws = NULL;
    }
    if (!ws) {
        close(lock_fd);
        return NULL;
    }
    ws->lock_fd = lock_fd;
    own(ws->header);
    flock(ws->fd, LOCK_SH); /* DIR/lock is ours, so nobody wants it alone in between */
    return ws;
}

void workspace_leave(struct workspace *ws)
{
    munmap(ws->header, ws->bytes);
    close(ws->fd);
    if (ws->lock_fd >= 0)
        close(ws->lock_fd);
    free(ws);
}

void workspace_remove(struct workspace *ws)
{
    char file[PATH_MAX];
    assert(ws->lock_fd >= 0 && "only the creator removes");
    if (link_target(ws->link, file))
        unlink(file);
    unlink(ws->link);
    workspace_leave(ws);
}

bool workspace_alive(const struct workspace *ws)
{
    uint64_t pid = atomics_load_acquire_u64(&ws->header->creator_pid);
    uint64_t ticks = atomics_load_relaxed_u64(&ws->header->creator_start_ticks);
    return ticks != 0 && process_start_ticks((pid_t)pid) == ticks;
}

const struct topology *workspace_topology(const struct workspace *ws)
{
    return &ws->topology;
}

uint64_t workspace_bytes(const struct workspace *ws)
{
    return ws->bytes;
}

uint64_t workspace_page_bytes(const struct workspace *ws)
{
    return ws->header->page_bytes;
}

int32_t workspace_creator_pid(const struct workspace *ws)
{
    return (int32_t)atomics_load_acquire_u64(&ws->header->creator_pid);
}

int64_t workspace_created_ns(const struct workspace *ws)
{
    return ws->header->created_ns;
}

void *workspace_object(const struct workspace *ws, const char *name, uint32_t index, size_t *bytes)
{
    const struct topology_object *o = topology_find(&ws->topology, name, index);
    if (!o)
        return NULL;
    if (bytes)
        *bytes = o->bytes;
    return (char *)ws->header + o->offset;
}

static void *object_of_role(const struct workspace *ws, enum role_kind role, uint32_t k, const char *what,
                            size_t *bytes)
{
    char name[32];
    snprintf(name, sizeof name, "%s_%s", role_name(role), what);
    return workspace_object(ws, name, k, bytes);
}

struct counters *workspace_counters(const struct workspace *ws, enum role_kind role, uint32_t k)
{
    size_t bytes;
    void *mem = object_of_role(ws, role, k, "counters", &bytes);
    return mem ? counters_join(mem, bytes, role) : NULL;
}

struct histogram *workspace_histogram(const struct workspace *ws, enum role_kind role, uint32_t k,
                                      unsigned id)
{
    size_t bytes;
    void *mem = object_of_role(ws, role, k, "histograms", &bytes);
    return mem ? histograms_join(mem, bytes, role, id) : NULL;
}

/* workspace_X: the object of that name, joined. */
#define JOINED(type, function, object, join_function, INDEX, ...)                                            \
    struct type *function(const struct workspace *ws __VA_ARGS__)                                            \
    {                                                                                                        \
        size_t bytes;                                                                                        \
        void *mem = workspace_object(ws, object, INDEX, &bytes);                                             \
        return mem ? join_function(mem, bytes) : NULL;                                                       \
    }
JOINED(symtab, workspace_symtab, "symtab", symtab_join, 0)
JOINED(ruletab, workspace_ruletab, "ruletab", ruletab_join, 0)
JOINED(heartbeats, workspace_heartbeats, "heartbeats", heartbeats_join, 0)
JOINED(errlog, workspace_errlog, "errlog", errlog_join, 0)
JOINED(valuetab, workspace_valuetab, "valuetab", valuetab_join, 0)
JOINED(markettab, workspace_markettab, "markettab", markettab_join, 0)
JOINED(peers, workspace_peers, "peers", peers_join, 0)
JOINED(rule_stats_table, workspace_rule_stats, "rule_stats", rule_stats_join, scanner, , uint32_t scanner)
#undef JOINED
