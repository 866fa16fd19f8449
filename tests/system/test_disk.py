#!/usr/bin/env python3
"""The disk under the journal, or under the outbox, is full, read-only, or fails: it is said, /ready is false, nothing
goes on that is not stored, and with the disk back all goes on by itself to the alerts and bars of a run without that."""
import errno, re, struct
from lib import *

SOURCE = "sim:symbols=30,seed=7,start=2026-03-02T09:31:00-05:00,seconds=1200,rate=200,bad=0"
EVERY = {"id": "every", "expr": "price > 0", "cooldown": 5}
FILE = rules("r.json", *EVERYTHING, EVERY)
SHIM = path("fail_io.so")
subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", os.path.join(ROOT, "tests/system/lib/fail_io.c"), "-o", SHIM, "-ldl"], check=True)
ringtape("replay", SOURCE, "--rules", FILE, "--alerts", path("want.jsonl"), "--bars", path("want.csv"))
WANT, BARS_WANT = alerts(path("want.jsonl")), open(path("want.csv")).read()


class Failing:
    """A disk that refuses some operations with an error."""

    def __init__(self, number, operations):
        self.number, self.operations = number, operations
        self.says = os.strerror(number)
        self.control = path("fail")
        self.env = {"LD_PRELOAD": SHIM, "FAIL_IO": self.control}

    def prepare(self, folder):
        self.folder = folder

    def breaks(self):
        with open(self.control + ".new", "w") as f:
            f.write(f"{self.folder} {self.number} {self.operations}\n")
        os.rename(self.control + ".new", self.control)

    def mends(self):
        if os.path.exists(self.control):
            os.remove(self.control)

    release = mends


class Full:
    """A file system of its own that fills up."""
    says, env, mounted = "No space left on device", {}, None

    def prepare(self, folder):
        os.makedirs(folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
        self.mounted = folder

    def breaks(self):
        with open(os.path.join(self.mounted, "ballast"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass

    def mends(self):
        os.remove(os.path.join(self.mounted, "ballast"))

    def release(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.mounted])


def lines(file):
    return open(file, "rb").read().splitlines(keepends=True) if os.path.exists(file) else []


def outbox_events(folder):
    """How many events are whole in the outbox' files, from its format alone."""
    n = 0
    for name in sorted(f for f in os.listdir(folder) if f.endswith(".rto")):
        try:
            raw, at = open(os.path.join(folder, name), "rb").read(), 32 + 1026 * 16
        except FileNotFoundError:
            continue  # the publisher tries again and again to begin a file, and takes it back
        while at + 32 <= len(raw):
            magic, _, size, count, _, _ = struct.unpack_from("<IIIIQQ", raw, at)
            if magic != 0x42545221 or at + 32 + size > len(raw):
                break
            n, at = n + count, at + 32 + size
    return n


def metric(text, name):
    return int(float(re.search(rf"^ringtape_{name}\{{[^}}]*\}} (\S+)", text, re.M)[1]))


def acknowledged_is_stored(what, d, sync):
    """What a sink has is in the outbox, what the journal calls durable is in its files."""
    durable = metric(ask(PORT, "/metrics")[1], "ingest_durable_seq")
    sink = lines(d + ".sink")
    kept = json.loads(ringtape("capture", "info", d + "/capture", "--json", code=None).stdout or '{"last_seq": 0}')["last_seq"]
    ok(durable <= kept, f"{what}: what is called durable (seq {durable}) is in the files (up to {kept})")
    stored = outbox_events(d + "/outbox")
    cursor = int(re.search(r"offset=(\d+)", open(d + ".sink.cursor").read())[1]) if os.path.exists(d + ".sink.cursor") else 0
    ok(0 < cursor <= stored, f"{what}: the sink has {cursor} events, the outbox' files {stored}")
    if sync == "always":
        ok(max(json.loads(l)["seq"] for l in sink) <= kept, f"{what}: no alert went out whose cause is not on disk")


def scenario(what, disk, where, sync="interval", victim=None, staging_mb=1):
    """The disk breaks in mid-run, a role may be killed meanwhile; then it is mended. With much staging all of the tape is
    staged before the disk is back."""
    d = new_dir()
    disk.prepare(os.path.join(d, where))
    p = subprocess.Popen([BIN, "run", "--source", SOURCE, "--rules", FILE, "--dir", d, "--speed", "600", "--until-end", "--scanners", "2",
                          "--alerts", d + ".jsonl", "--bars", d + ".csv", "--drain-timeout", "60", "--set", f"sinks.jsonl={d}.sink",
                          "--set", f"journal.sync={sync}", "--set", f"http.port={PORT}", "--set", f"journal.staging_mb={staging_mb}", "--set", f"journal.segment_mb={staging_mb}", "--set", "outbox.segment_mb=1"],
                         stderr=open(d + ".log", "w"), start_new_session=True, env={**os.environ, **disk.env})
    log = lambda: open(d + ".log").read()
    part = "journal" if where == "capture" else "outbox"
    role = "ingest" if where == "capture" else "publisher"
    try:
        ok(wait_for(lambda: len(lines(d + ".sink")) > 200 and ask(PORT, "/ready")[0] == 200, 60), f"{what}: it runs and is ready", log())
        disk.breaks()
        told = wait_for(lambda: re.search(rf"^{role}: error: .*{re.escape(d)}/{where}.*{re.escape(disk.says)}; \w+", log(), re.M), 60)
        ok(told, f"{what}: the log names file, reason and what to do", log())
        ok(wait_for(lambda: ask(PORT, "/ready")[0] == 503 and f"the {part} cannot be written" in ask(PORT, "/ready")[1], 30),
           f"{what}: /ready is 503 and says why", ask(PORT, "/ready"))
        if victim:
            before = role_pid(p, victim)
            os.kill(before, signal.SIGKILL)
            ok(wait_for(lambda: role_pid(p, victim) not in (None, before), 20), f"{what}: {victim} was killed meanwhile", log())
        if staging_mb > 1:
            wait_for(lambda: len(lines(d + ".sink")) == len(WANT), 60)
        have, steady = -1, 0
        while steady < 10 and p.poll() is None:  # until what can go on has gone on
            now = len(lines(d + ".sink"))
            have, steady = now, steady + 1 if now == have else 0
            time.sleep(0.1)
        ok(p.poll() is None and (have < len(WANT)) == (staging_mb == 1), f"{what}: the instance waits, after {have} of {len(WANT)} alerts", log())
        acknowledged_is_stored(what, d, sync)
        disk.mends()
        ok(wait_for(lambda: p.poll() is not None or ask(PORT, "/ready")[0] == 200, 30), f"{what}: with the disk back it is ready again", log()[-1500:])
        code = p.wait(timeout=120 * PATIENCE)
        ok(code == 0 and (victim or "written again; nothing was lost" in log()), f"{what}: it goes on by itself to its end", f"exit {code}\n{log()[-1500:]}")
        ok(alerts(d + ".jsonl") == WANT and alerts(d + ".sink") == WANT, f"{what}: the same {len(WANT)} alerts, each once in the sink")
        ok(open(d + ".csv").read() == BARS_WANT, f"{what}: the same bars")
        ringtape("replay", f"capture:{d}/capture", "--alerts", path("again.jsonl"), code=0)
        ok(alerts(path("again.jsonl")) == WANT, f"{what}: the capture replays to them")
    except subprocess.TimeoutExpired:
        ok(False, f"{what}: it ends", log()[-1500:])
    finally:
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
        disk.release()


def can_mount():
    os.makedirs(path("mount"), exist_ok=True)
    able = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path("mount")], capture_output=True).returncode == 0
    if able:
        subprocess.run(["umount", path("mount")])
    return able


PORT = free_port()
io, read_only = Failing(errno.EIO, "wso"), Failing(errno.EROFS, "wo")
scenarios = [("the journal's disk fails", io, "capture", "always", "ingest"), ("the outbox' disk fails", io, "outbox", "interval", "publisher"),
             ("syncs of the journal fail", Failing(errno.EIO, "s"), "capture", "always"), ("syncs of the outbox fail", Failing(errno.EIO, "s"), "outbox"),
             ("the journal's disk is read-only", read_only, "capture", "interval", "scanner:0"), ("the outbox' disk is read-only", read_only, "outbox")]
if can_mount():
    scenarios += [("the journal's disk is full", Full(), "capture", "interval", "ingest"),
                  ("the journal's disk is full until after the tape's end", Full(), "capture", "interval", None, 16), ("the outbox' disk is full", Full(), "outbox", "interval", "publisher")]
else:
    print("ok - full disk # SKIP cannot mount a small file system")
for row in scenarios:
    scenario(*row)
done()
