#!/usr/bin/env python3
"""Rules that change while an instance runs: by `rules reload` and by SIGHUP, with 1 and 4 scanners, roles and all of it
killed around it. The alerts are those of a replay of its capture, byte for byte; what is unchanged fires as if nothing had been."""
from lib import *

need_data(TAPE)
KEPT = [{"id": "kept", "cooldown": 60, "expr": "change_pct_1m > 0.02 for 2 bars or price crosses above vwap(session) within 90s"},
        {"id": "cool", "cooldown": 1800, "expr": "price > 1"}]
FIRST = [*KEPT, {"id": "edited", "cooldown": 5, "expr": "price < 167"}, {"id": "gone", "cooldown": 5, "expr": "volume_1m > 10000"}]
SECOND = [*KEPT, {"id": "edited", "cooldown": 5, "expr": "price > 166"}, {"id": "new", "cooldown": 5, "expr": "volume_1m > 10000"}]
ringtape("replay", f"csv:{TAPE}", "--rules", rules("kept.json", *KEPT), "--alerts", path("kept.jsonl"))


def start(directory, scanners, file, speed="4000"):
    return subprocess.Popen([BIN, "run", "--source", f"csv:{TAPE}", "--rules", file, "--dir", directory, "--speed", speed, "--until-end",
                             "--scanners", str(scanners), "--alerts", directory + ".jsonl", "--set", "checkpoints.interval_ms=50"],
                            stderr=open(directory + ".log", "a"), start_new_session=True)


def said(directory):
    return open(directory + ".log").read()


def of(lines, *ids):
    """Alerts of these rules, without what the number of messages before them changes."""
    rows = [json.loads(l) for l in lines]
    return sorted(json.dumps({k: v for k, v in a.items() if k != "seq"}) for a in rows if a["rule_id"] in ids)


def check(directory, what):
    found = alerts(directory + ".jsonl")
    ringtape("replay", f"capture:{directory}/capture", "--alerts", path("again.jsonl"))
    ok(found == alerts(path("again.jsonl")) and len(found) > 500, f"{what}: the {len(found)} alerts are those of a replay of the capture", said(directory)[-800:])
    ok(of(found, "kept", "cool") == of(alerts(path("kept.jsonl")), "kept", "cool"), f"{what}: rules that are unchanged fire as if nothing had been")
    rows = [json.loads(l) for l in found]
    versions = {(a["rule_id"], a["rule_version"]) for a in rows}
    ok({("edited", 2), ("new", 1), ("gone", 1)} <= versions and ("gone", 2) not in versions, f"{what}: versions", versions)
    last, first = (f([a["seq"] for a in rows if (a["rule_id"], a["rule_version"]) == v]) for f, v in ((max, ("gone", 1)), (min, ("new", 1))))
    ok(last < first, f"{what}: one place for all of it", (last, first))


def running(directory):
    return wait_for(lambda: os.path.exists(directory + ".jsonl") and os.path.getsize(directory + ".jsonl") > 20000)


for scanners in (1, 4):
    d, file = new_dir(), rules("r.json", *FIRST)
    p = start(d, scanners, file)
    ok(running(d), f"{scanners} scanners: it runs", said(d))
    bad = ringtape("rules", "reload", "--dir", d, "--rules", rules("bad.json", {"id": "x", "expr": "prise > 1"}), code=None)
    ok(bad.returncode not in (0, -11) and "did you mean 'price'" in bad.stderr and "nothing has changed" in bad.stderr, "a bad file is refused with the reason", bad.stderr)
    same = ringtape("rules", "reload", "--dir", d)
    ok(same.stdout == "0 added, 0 changed, 0 removed, 4 unchanged\n", "the run's own file, unchanged", same.stdout)
    rules("r.json", *SECOND)
    if scanners == 1:
        done_ = ringtape("rules", "reload", "--dir", d)
        ok(done_.stdout == "1 added, 1 changed, 1 removed, 2 unchanged\n", "what changed is reported", done_.stdout)
    else:
        p.send_signal(signal.SIGHUP)
        ok(wait_for(lambda: "1 added, 1 changed, 1 removed, 2 unchanged" in said(d)), "by SIGHUP: what changed is in the log", said(d))
    ok(p.wait() == 0, "it ends as planned", said(d)[-800:])
    check(d, f"{scanners} scanners")

# each role is killed just after the reload, then the whole instance
d, file = new_dir(), rules("k.json", *FIRST)
p = start(d, 2, file)
running(d)
rules("k.json", *SECOND)
for n, name in enumerate(("scanner:0", "ingest", "scanner:1", "publisher", "ingest")):
    if n == 1:
        write("k.json", "[")  # half written: nobody reads it but who asks
    ringtape("rules", "reload", "--dir", d, "--rules", rules("n.json", *SECOND))
    pid = wait_for(lambda: role_pid(p, name)) and role_pid(p, name)
    os.kill(pid, signal.SIGKILL)
    ok(wait_for(lambda: role_pid(p, name) not in (None, pid)), f"{name} is started again", said(d)[-800:])
time.sleep(0.5)
ok(p.poll() is None, "it runs on", said(d)[-800:])
os.killpg(p.pid, signal.SIGKILL)
p.wait()
time.sleep(0.5)
ringtape("backup", d, path("backup"))
ringtape("restore", path("backup"), path("restored"))
p = start(path("restored"), 2, path("restored/rules.json"), "max")
ok(p.wait() == 0, "a backup of it, restored, goes on", said(path("restored"))[-1500:])
check(path("restored"), "restored")
p = start(d, 3, rules("k.json", *FIRST), "max")
ok(p.wait() != 0 and "not those of the run that was interrupted" in said(d), "all killed: the rules of before are refused", said(d)[-800:])
p = start(d, 3, rules("k.json", *SECOND), "max")
ok(p.wait() == 0, "with those in force it goes on to its end", said(d)[-1500:])
check(d, "roles killed")
done()
