#!/usr/bin/env python3
"""rings.when_full = lag: a scanner that is stopped, or too slow for its ring, holds nobody up; it reads the journal instead, and
says the same in the end. Killed while it lags, and ingest too."""
import random, socket, urllib.request
from lib import *

need_data(TAPE)
SEED = int(os.environ.get("SEED", time.time()))
print(f"# SEED={SEED}")
random.seed(SEED)
file = rules("r.json", *EVERYTHING)
ringtape("replay", f"csv:{TAPE}", "--rules", file, "--alerts", path("want.jsonl"), "--bars", path("want.csv"))
WANT, BARS_WANT = alerts(path("want.jsonl")), open(path("want.csv")).read()


def start(directory, speed, *more):
    return subprocess.Popen([BIN, "run", "--source", f"csv:{TAPE}", "--rules", file, "--dir", directory, "--speed", speed, "--until-end", "--scanners", "2",
                             "--alerts", directory + ".jsonl", "--bars", directory + ".csv", "--set", "rings.when_full=lag", *more],
                            stderr=open(directory + ".log", "a"), start_new_session=True)


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
HTTP = ["--set", f"http.port={PORT}"]


def metrics():
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5).read().decode()
    except OSError:
        return ""


def value(text, name, label=""):
    return next((float(l.split()[-1]) for l in text.splitlines() if l.startswith(name) and label in l), 0.0)


def same(directory, code, what):
    log = open(directory + ".log").read()
    if ok(code == 0, f"{what}: the run ends as planned", f"exit {code}\n{log[-400:]}"):
        ok(alerts(directory + ".jsonl") == WANT, f"{what}: the same {len(WANT)} alerts", log[-400:])
        ok(open(directory + ".csv").read() == BARS_WANT, f"{what}: the same bars", log[-400:])


def applied(scanner):
    return value(metrics(), "ringtape_scanner_applied_seq", f'"{scanner}"')


# rings of 64 slots at full speed: they are full all the time
d = new_dir()
p = start(d, "max", "--set", "rings.tick_slots=64")
same(d, p.wait(), "rings of 64 slots")

# one scanner stands still while the other goes on
d = new_dir()
p = start(d, "6000", "--set", "rings.tick_slots=64", "--set", "checkpoints.interval_ms=50", *HTTP)
wait_for(lambda: role_pid(p, "scanner:1") and applied(1) > 1000)
stopped = role_pid(p, "scanner:1")
os.kill(stopped, signal.SIGSTOP)
time.sleep(0.2)
before = applied(0), applied(1)
moved = wait_for(lambda: applied(0) > before[0] + 20000)
after = applied(0), applied(1)
ok(moved and after[1] - before[1] < 200, "the other goes on while one stands still", f"{before} {after}")
ok(value(metrics(), "ringtape_ingest_ring_lags_total") > 0, "ring_lags counts it", metrics()[:500])
rings = {(r["name"], r["index"]): r["behind"] for r in json.loads(ringtape("rings", "--dir", d, "--json").stdout)["rings"]}
ok(rings["tick_ring", 1], "`ringtape rings` shows which ring is left behind", rings)
os.kill(stopped, signal.SIGCONT)
same(d, p.wait(), "a scanner stopped for a while")

# killed while they lag
d = new_dir()
p = start(d, "8000", "--set", "rings.tick_slots=64", "--set", "checkpoints.interval_ms=50")
kills = 0
while p.poll() is None and kills < 12:
    time.sleep(random.uniform(0.05, 0.4))
    pid = role_pid(p, random.choice(["scanner:0", "scanner:1", "ingest"]))
    if pid and p.poll() is None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(random.uniform(0, 0.1))
        os.kill(pid, signal.SIGKILL)
        kills += 1
same(d, p.wait(), f"{kills} roles stopped and killed")
done()
