#!/usr/bin/env python3
"""Halts and their ends are events: the same ones for any number of scanners, from a capture, and after each role was
killed; the file and the store have each once, and the audit agrees."""
import sqlite3
from lib import *

SIM = "sim:symbols=200,seed=4,start=2026-03-02T09:31:00-05:00,minutes=30,rate=600,halts=400"
KILLS = int(os.environ.get("KILLS", "2"))
RULES = [{"id": "halt", "name": "halt", "expr": "halted", "trigger": "cross", "cooldown": 0}]

file, log, halts = rules("r.json", *RULES), path("alerts.jsonl"), path("replay.jsonl")
ringtape("replay", SIM, "--rules", file, "--alerts", log, "--halts", halts)
want = alerts(halts)
events = [json.loads(l) for l in want]
ok(len(events) > 50 and {e["type"] for e in events} == {"halted", "resumed"}, f"there is something to compare: {len(events)}", events[:3])
ok(all(list(e) == ["id", "symbol", "timestamp", "type", "reason", "message", "seq"] for e in events) and
   len({e["id"] for e in events}) == len(events), "each has its keys, and an id of its own", events[:1])
of = {}
for e in events:
    of.setdefault(e["symbol"], []).append(e["type"])
ok(all(t == (["halted", "resumed"] * len(t))[:len(t)] for t in of.values()), "a symbol is halted, and goes on, by turns")
fired = [json.loads(l) for l in open(log)]
first = {(e["symbol"], e["seq"]) for e in events if e["type"] == "halted"}
ok(fired and {(a["symbol"], a["seq"]) for a in fired} <= first, f"a rule about it fires at the same message ({len(fired)} alerts)")

for scanners in 1, 3:
    d, out = new_dir(), path("run.jsonl")
    ringtape("run", "--source", SIM, "--rules", file, "--dir", d, "--until-end", "--speed", "max", "--scanners", scanners, "--halts", out)
    ok(alerts(out) == want, f"run with {scanners} scanners gives the same")
ringtape("replay", f"capture:{d}/capture", "--halts", path("capture.jsonl"))
ok(alerts(path("capture.jsonl")) == want, "replay of the capture")

d, store, out = new_dir(), path("store.db"), path("killed.jsonl")
killed = {"ingest": 0, "scanner": 0, "publisher": 0}
p = subprocess.Popen([BIN, "run", "--source", SIM, "--rules", file, "--dir", d, "--until-end", "--speed", "100", "--scanners", "2", "--halts", out,
                      "--set", f"sinks.sqlite={store}", "--set", "checkpoints.interval_ms=200"], stderr=open(path("killed.log"), "w"))
kill_loop(p, killed, KILLS)
p.wait()
ok(p.returncode == 0 and alerts(out) == want, f"killed {killed}: the same", open(path("killed.log")).read()[-1000:])
rows = sqlite3.connect(store).execute("SELECT seq, id, symbol, timestamp, type, reason, message FROM events").fetchall()
ok(sorted((r[0], r[1].replace("-", "")) + r[2:] for r in rows) ==
   sorted((e["seq"], e["id"], e["symbol"], e["timestamp"], e["type"], e["reason"], e["message"]) for e in events), "each once in the store",
   f"{len(rows)} rows of {len(events)}")
audit = subprocess.run([BIN, "audit", "--dir", d, "--set", f"sinks.sqlite={store}"], capture_output=True, text=True)
ok(audit.returncode == 0 and "sqlite halts" in audit.stdout, "the audit holds", audit.stdout + audit.stderr)
done()
