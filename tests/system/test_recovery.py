#!/usr/bin/env python3
"""Roles killed again and again, and whole instances: alerts and bars are those of a run without interruption.

   KILLS=N  kills of each role (10); SEED=N"""
from lib import *

need_data(TAPE)
KILLS = int(os.environ.get("KILLS", 10))
SEED = int(os.environ.get("SEED", time.time()))
print(f"# SEED={SEED} KILLS={KILLS}")
random.seed(SEED)
file = rules("r.json", *EVERYTHING, *every_metric(3000))
ringtape("replay", f"csv:{TAPE}", "--rules", file, "--alerts", path("want.jsonl"), "--shadows", path("want.dark"), "--bars", path("want.csv"), "--summary", path("want.json"))
WANT, DARK, BARS_WANT, COUNTS = alerts(path("want.jsonl")), alerts(path("want.dark")), open(path("want.csv")).read(), json.load(open(path("want.json")))


def start(directory, scanners=2, speed="6000", source=TAPE, rule_file=file, *more):
    """Saves its state all the time, so that most restarts go on from a checkpoint."""
    return subprocess.Popen([BIN, "run", "--source", f"csv:{source}", "--rules", rule_file, "--dir", directory, "--speed", speed, "--until-end",
                             "--scanners", str(scanners), "--alerts", directory + ".jsonl", "--shadows", directory + ".dark", "--bars", directory + ".csv",
                             "--summary", directory + ".json", "--set", f"sinks.jsonl={directory}.sink",
                             "--set", "checkpoints.interval_ms=20", *more],
                            stderr=open(directory + ".log", "a"), start_new_session=True)


def same(directory, code, what, counts=True):
    log = open(directory + ".log").read()
    if not ok(code == 0, f"{what}: the run ends as planned", f"exit {code}\n{log[-1500:]}"):
        return
    ok(alerts(directory + ".jsonl") == WANT, f"{what}: the same {len(WANT)} alerts", log[-1500:])
    ok(DARK and alerts(directory + ".dark") == DARK, f"{what}: the same {len(DARK)} alerts in shadow", log[-1500:])
    ok(alerts(directory + ".sink") == WANT, f"{what}: each once in the sink", log[-1500:])
    ok(open(directory + ".csv").read() == BARS_WANT, f"{what}: the same bars", log[-1500:])
    s = json.load(open(directory + ".json"))
    ok(not counts or all(s[k] == COUNTS[k] for k in ("messages", "skipped", "rejected", "bars", "alerts")), f"{what}: the same counts", s)


# each role at random moments
d = new_dir()
killed = {"ingest": 0, "scanner": 0, "publisher": 0}
while min(killed.values()) < KILLS:
    remove(d)
    for end in (".jsonl", ".dark", ".csv", ".json", ".sink", ".sink.cursor", ".log"):
        if os.path.exists(d + end):
            os.remove(d + end)
    p = start(d)
    kill_loop(p, killed, KILLS)
    p.wait()
    same(d, p.returncode, f"killed so far: {killed}")
    if failed:
        break

# whole instances; then other numbers of scanners, and shared memory that is gone, as after a reboot
d = new_dir()
for n, (scanners, gone) in enumerate([(2, False), (3, True), (1, False)]):
    p = start(d, scanners)
    time.sleep(random.uniform(1.0, 2.5))
    os.killpg(p.pid, signal.SIGKILL)
    p.wait()
    ok(wait_for(lambda: not processes_of(d)), "all of it is dead")
    if gone:
        os.remove(os.path.realpath(os.path.join(d, "workspace")))
p = start(d, 2, "max")
same(d, p.wait(), "killed whole three times, with 2, 3, 1 and 2 scanners")
p = start(d, 2, "max")
same(d, p.wait(), "started again after its end")

# a publisher that dies when all is in the outbox, and a sink is not there
d = new_dir()
p = start(d, 2, "max", TAPE, file, "--set", "sinks.redis=redis://127.0.0.1:1/0", "--drain-timeout", "4")
wait_for(lambda: p.poll() is not None or (len(roles(p)) == 1 and "publisher" in roles(p).values()))
for pid in roles(p):
    if p.poll() is None:
        os.kill(pid, signal.SIGKILL)
ok(wait_for(lambda: p.poll() is not None, 20) and p.returncode == 4, "killed at the end with a sink away: it ends by the drain timeout, exit 4",
   f"{p.returncode}\n" + open(d + ".log").read()[-800:])
if p.poll() is None:
    os.killpg(p.pid, signal.SIGKILL)

# retention deletes what checkpoints make needless, while the run is on
d = new_dir()
small = ("--set", "journal.segment_mb=1", "--set", "journal.retention_mb=2", "--set", "journal.compress=false")
first = os.path.join(d, "capture", f"{1:020}.rtj")
p = start(d, 2, "6000", TAPE, file, *small)
gone = wait_for(lambda: os.path.isdir(os.path.join(d, "capture")) and os.listdir(os.path.join(d, "capture")) and not os.path.exists(first), 60)
ok(gone and p.poll() is None, "the journal's first file is deleted while the run is on", open(d + ".log").read()[-800:])
kill_loop(p, {"ingest": 0, "scanner": 0, "publisher": 0}, 2)
backup, restored = path("backup"), path("restored")
ringtape("backup", d, backup)
if p.poll() is None:
    os.killpg(p.pid, signal.SIGKILL)
p.wait()
ok(wait_for(lambda: not processes_of(d)), "all of it is dead")
p = start(d, 3, "max", TAPE, file, *small)
same(d, p.wait(), "killed one by one and whole behind a journal without its beginning", counts=False)
ringtape("restore", backup, restored)
ok(not os.path.exists(os.path.join(restored, "capture", os.path.basename(first))) and os.listdir(os.path.join(restored, "checkpoints")),
   "a backup of it has the checkpoints for what is gone")
p = start(restored, 2, "max", TAPE, file, *small)
ok(p.wait() == 0 and alerts(restored + ".jsonl") == WANT and open(restored + ".csv").read() == BARS_WANT, "and goes on where it is restored",
   open(restored + ".log").read()[-800:])

# an outbox that was taken away, with what the sinks had: all of it is made again, checkpoints or not
d = new_dir()
p = start(d)
wait_for(lambda: len(os.listdir(os.path.join(d, "checkpoints"))) == 2 if os.path.isdir(os.path.join(d, "checkpoints")) else False)
time.sleep(1)
os.killpg(p.pid, signal.SIGKILL)
p.wait()
ok(wait_for(lambda: not processes_of(d)), "all of it is dead")
shutil.rmtree(os.path.join(d, "outbox"))
for file_name in os.listdir(tmp):
    if file_name.startswith(os.path.basename(d) + ".") and not file_name.endswith(".log"):
        os.remove(path(file_name))
p = start(d, 2, "max")
same(d, p.wait(), "killed whole, its outbox taken away")

# what is not the same run is refused, and the run goes on with what it had
d = new_dir()
p = start(d)
time.sleep(1.5)
os.killpg(p.pid, signal.SIGKILL)
p.wait()
time.sleep(0.3)
other = rules("other.json", {"id": "other", "expr": "price > 1"})
p = start(d, 2, "max", TAPE, other)
ok(p.wait() != 0 and "not those of the run that was interrupted" in open(d + ".log").read(), "other rules are refused, by name", open(d + ".log").read()[-800:])
p = start(d, 2, "max")
same(d, p.wait(), "and after that the run goes on")
done()
