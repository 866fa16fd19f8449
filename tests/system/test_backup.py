#!/usr/bin/env python3
"""Backups made while an instance runs, restored elsewhere: the run goes on there with the alerts of a run that was never
interrupted, each once. What is half, damaged or in the way is refused."""
from lib import *

SOURCE = "sim:symbols=40,seed=6,start=2026-03-02T09:25:00-05:00,minutes=12,rate=100"
file = rules("r.json", *EVERYTHING)
ringtape("replay", SOURCE, "--rules", file, "--alerts", path("want.jsonl"), "--bars", path("want.csv"))
WANT, BARS_WANT = alerts(path("want.jsonl")), open(path("want.csv")).read()


def start(directory, speed, *more):
    return subprocess.Popen([BIN, "run", "--source", SOURCE, "--dir", directory, "--speed", speed, "--until-end", "--scanners", "2", *more],
                            stderr=open(directory + ".log", "a"), start_new_session=True)


def audit(directory, *more):
    p = ringtape("audit", "--dir", directory, "--json", *more, code=None)
    return p.returncode, json.loads(p.stdout or "{}")


# three backups while it runs, each of more
d, sink = new_dir(), path("sink.jsonl")
# another lateness: a setting that changes results, which the backup must bring along
late = ["--set", "bars.lateness_ms=700", "--set", "journal.segment_mb=1", "--set", "outbox.segment_mb=1"]
ringtape("replay", SOURCE, "--rules", file, "--alerts", path("late.jsonl"), "--bars", path("late.csv"), "--set", "bars.lateness_ms=700")
LATE, BARS_LATE = alerts(path("late.jsonl")), open(path("late.csv")).read()
p = start(d, "50", "--rules", file, "--set", f"sinks.jsonl={sink}", *late)
backups, size = [], 0
for i in range(3):
    wait_for(lambda: os.path.exists(sink) and os.path.getsize(sink) > size)
    time.sleep(0.5)
    b = path(f"backup{i}")
    out = ringtape("backup", d, b, "--json", "--set", f"sinks.jsonl={sink}")
    backups.append((b, json.loads(out.stdout) if out.stdout else {}))
    size = os.path.getsize(sink)
ok(p.poll() is None, "the instance runs on")
os.killpg(p.pid, signal.SIGKILL)
p.wait()
os.remove(os.path.realpath(d + "/workspace"))
n = [m.get("next_offset", 0) for _, m in backups]
ok(0 < n[0] < n[1] < n[2], f"three backups while it ran, of more and more events: {n}", backups)
m = json.load(open(backups[2][0] + "/manifest.json"))
listed = {f["path"]: f for f in m["files"]}
have = {os.path.relpath(os.path.join(w, f), backups[2][0]) for w, _, fs in os.walk(backups[2][0]) for f in fs}
ok(have == set(listed) | {"manifest.json"}, "the manifest lists every file", have ^ set(listed))
ok(all(f["bytes"] == os.path.getsize(os.path.join(backups[2][0], f["path"])) and len(f["xxh3_128"]) == 32 for f in m["files"]), "with its size and checksum", m)
ok(m["outbox"]["last_seq"] <= m["journal"]["last_seq"] and any(f.get("last_seq") == m["journal"]["last_seq"] for f in m["files"]),
   "and its messages; the outbox is not ahead of the journal", m)
ok(not os.path.exists(backups[2][0] + ".partial"), "nothing half is left")

# each goes on where it was restored
for i, (b, _) in enumerate(backups):
    r = path(f"restored{i}")
    own = ["--set", f"sinks.jsonl={r}/alerts.jsonl"]
    out = json.loads(ringtape("restore", b, r, "--json").stdout or "{}")
    ok(out.get("outbox") != out.get("was") == m["outbox"]["id"], f"backup {i}: the outbox has a new id", out)
    code, a = audit(r, *own)
    ok(code == 0 and a["state"] == "interrupted" and not a["findings"], f"backup {i}: restored it audits clean", a)
    had = open(r + "/alerts.jsonl").readlines()
    p = start(r, "max", "--config", r + "/settings.ini", "--rules", r + "/rules.json", "--alerts", r + ".all", "--bars", r + ".csv", *own)
    ok(p.wait() == 0, f"backup {i}: the run goes on", open(r + ".log").read()[-1500:])
    ok(alerts(r + ".all") == LATE and open(r + ".csv").read() == BARS_LATE, f"backup {i}: the alerts and bars of a run without interruption")
    ok(alerts(r + "/alerts.jsonl") == LATE and open(r + "/alerts.jsonl").readlines()[:len(had)] == had, f"backup {i}: each once in the sink ({len(had)} of {len(LATE)} from the backup)")
    code, a = audit(r, *own)
    ok(code == 0 and a["state"] == "ended" and not a["findings"], f"backup {i}: and audits clean at its end", a)

# one of a run that has ended, without sinks, into an empty directory that is there
e, b, r = new_dir(), path("ended"), path("into")
ok(start(e, "max", "--rules", file).wait() == 0, "a run")
ringtape("backup", e, b)
os.mkdir(r)
text = ringtape("restore", b, r).stdout
ok("go on with: ringtape run" in text, "restore tells how to go on", text)
code, a = audit(r)
ok(code == 0 and a["state"] == "ended" and next(s for s in a["stages"] if s["stage"] == "outbox alerts")["delivered"] == len(WANT), "a finished run is restored", a)

# what is refused
ok("not empty" in ringtape("backup", e, b, code=2).stderr, "a target that is there")
ok("not empty" in ringtape("restore", b, e, code=2).stderr, "a directory that is not empty")
ok("expected the directory of an instance" in ringtape("backup", path("nothing"), path("x"), code=2).stderr, "no instance")
os.mkdir(path("y.partial"))
ok("y.partial" in ringtape("restore", b, path("y"), code=2).stderr, "one that is being made")
named = sorted(listed)


def spoiled(what, words, change):
    """A copy of the backup that is changed is refused, and nothing is made."""
    c, to = path("spoiled"), path("never")
    shutil.rmtree(c, ignore_errors=True)
    shutil.copytree(backups[2][0], c)
    change(c)
    err = ringtape("restore", c, to, code=3).stderr
    ok(all(w in err for w in words) and not os.path.exists(to) and not os.path.exists(to + ".partial"), f"{what} is refused", err)


def flip(name):
    def change(c):
        with open(os.path.join(c, name), "r+b") as f:
            f.seek(os.path.getsize(f.name) // 2)
            x = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([x[0] ^ 1]))
    return change


for name in named:
    spoiled(f"a flipped bit in {name}", [name, "damaged", "expected"], flip(name))
spoiled("a file that is gone", [named[1], "missing"], lambda c: os.remove(os.path.join(c, named[1])))
spoiled("a file that is shorter", [named[0], "damaged"], lambda c: os.truncate(os.path.join(c, named[0]), 10))
spoiled("a backup without manifest", ["manifest.json", "missing"], lambda c: os.remove(c + "/manifest.json"))
spoiled("half a manifest", ["manifest.json", "damaged"], lambda c: os.truncate(c + "/manifest.json", 300))
spoiled("a file of others", ["stranger", "does not list"], lambda c: open(c + "/outbox/stranger", "w").close())
other = dict(m, files=m["files"] + [dict(m["files"][0], path="../evil")])
spoiled("a path that leads outside", ["../evil", "inside"], lambda c: open(c + "/manifest.json", "w").write(json.dumps(other)))
spoiled("another format", ["format 2", "expected 1"], lambda c: open(c + "/manifest.json", "w").write(json.dumps(dict(m, ringtape_backup=2))))

# an outbox that is damaged is not taken for a backup
seg = sorted(f for f in os.listdir(e + "/outbox") if f.endswith(".rto"))[-1]
flip("outbox/" + seg)(e)
err = ringtape("backup", e, path("bad"), code=1).stderr
ok("damaged" in err or "wrong" in err, "a damaged instance is not copied", err)
ok(not os.path.exists(path("bad")) and not os.path.exists(path("bad") + ".partial"), "and nothing is left")
done()
