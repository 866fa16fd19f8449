#!/usr/bin/env python3
"""What a power cut may leave of a journal: the run goes on, and says what was lost; other sources are refused."""
from lib import *

SOURCE = "sim:symbols=100,minutes=3,seed=5"
file = rules("r.json", {"id": "up", "trigger": "cross", "cooldown": 5, "expr": "change_pct_1m > 0.2"},
             {"id": "volume", "trigger": "cross", "cooldown": 30, "expr": "volume_2m > 20000"})
other = rules("other.json", {"id": "down", "trigger": "cross", "cooldown": 5, "expr": "change_pct_1m < -0.2"})


def run(directory, rule_file=file, code=0, *more):
    return ringtape("run", "--source", SOURCE, "--rules", rule_file, "--dir", directory, "--speed", "max", "--until-end",
                    "--set", f"sinks.jsonl={directory}.sink", "--set", "journal.segment_mb=1", "--set", "journal.compress=false",
                    *more, code=code)


def segments(directory):
    return sorted(os.path.join(directory, "capture", f) for f in os.listdir(directory + "/capture") if f.endswith(".rtj"))


def copy(directory):
    to = new_dir()
    shutil.copytree(directory, to)
    for end in ".sink", ".sink.cursor":
        shutil.copy(directory + end, to + end)
    return to


whole = new_dir()
run(whole)
want = alerts(whole + ".sink")
n = len(segments(whole))
ok(len(want) > 100 and n > 4, "there are alerts, and a journal of several files", f"{len(want)} alerts, {n} files")

for policy, hit in ("never", 1), ("interval", n - 2), ("always", n - 1):
    d = copy(whole)
    lost = segments(d)[hit]
    size = os.path.getsize(lost)
    with open(lost, "r+b") as f:  # a hole in the middle
        f.seek(size // 3)
        f.write(bytes(100000))
    p = run(d, file, 0, "--set", f"journal.sync={policy}")
    behind = n - 1 - hit
    ok("are lost, unless the sources give them again" in p.stderr, f"{policy}: the log says what is lost", p.stderr)
    aside = [f for f in os.listdir(d + "/capture") if ".lost" in f or ".cut-" in f]
    ok(len(aside) == behind + 1, f"{policy}: {behind} files and a part are kept beside", aside)
    ok(alerts(d + ".sink") == want, f"{policy}: each alert is once in the sink")
    ringtape("replay", f"capture:{d}/capture", "--alerts", d + ".again")
    ok(alerts(d + ".again") == want, f"{policy}: the journal is whole again")

d = copy(whole)
with open(segments(d)[0], "r+b") as f:
    f.seek(50000)
    f.write(bytes(100000))
p = run(d, file, None)
beside = [f for f in os.listdir(d + "/capture") if ".lost" in f or ".cut-" in f]
ok(p.returncode == 1 and "damaged" in p.stderr and not beside, "interval: a hole long before the end is damage, and nothing is touched", p.stderr)

# The journal is gone, the outbox has events: other messages at their seqs must not be taken for these.
d = copy(whole)
shutil.rmtree(d + "/capture")
p = run(d)
ok(alerts(d + ".sink") == want, "without its journal, the same sources and rules: nothing twice", p.stderr)

shutil.rmtree(d + "/capture")
p = run(d, other, None)
ok(p.returncode == 1 and "is not the same" in p.stderr and "another --dir" in p.stderr, "other rules are refused", p.stderr)
p = run(d, other, None)
ok(p.returncode == 1 and "outbox/refused" in p.stderr, "and again", p.stderr)
ok(alerts(d + ".sink") == want, "nothing was delivered")
done()
