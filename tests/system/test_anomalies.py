#!/usr/bin/env python3
"""Anomalies are the same ones for any number of scanners, from a capture, and after each role was killed; the store has
each once, and the audit agrees."""
import sqlite3
from lib import *

SIM = "sim:symbols=300,seed=5,start=2026-03-02T09:25:00-05:00,minutes=30,rate=1500"
ON = ["--set", "anomalies.enabled=true", "--set", "anomalies.silence_min=1", "--set", "anomalies.volatility=4.5", "--set",
      "anomalies.burst=4.5", "--set", "anomalies.drift=4"]
KILLS = int(os.environ.get("KILLS", "2"))

log = path("replay.jsonl")
ringtape("replay", SIM, *ON, "--anomalies", log)
want = alerts(log)
found = {}
for line in want:
    a = json.loads(line)
    found[a["type"]] = found.get(a["type"], 0) + 1
ok(len(want) > 200 and {"suspect", "spike", "drop", "volatility", "drift"} <= set(found), f"there is something to compare: {found}", found)
ok(len({json.loads(l)["id"] for l in want}) == len(want), "each has an id of its own")

ringtape("replay", SIM, "--anomalies", path("off.jsonl"))
ok(os.path.getsize(path("off.jsonl")) == 0, "none where they are off, the default")

for scanners in 1, 2, 4:
    d, out = new_dir(), path("run.jsonl")
    ringtape("run", "--source", SIM, "--dir", d, "--until-end", "--speed", "max", "--scanners", scanners, *ON, "--anomalies", out)
    ok(alerts(out) == want, f"run with {scanners} scanners gives the same")
ringtape("replay", f"capture:{d}/capture", "--anomalies", path("capture.jsonl"))
ok(alerts(path("capture.jsonl")) == want, "replay of the capture, with its own settings")

d, store, out = new_dir(), path("store.db"), path("killed.jsonl")
killed = {"ingest": 0, "scanner": 0, "publisher": 0}
p = subprocess.Popen([BIN, "run", "--source", SIM, "--dir", d, "--until-end", "--speed", "100", "--scanners", "2", *ON, "--anomalies", out,
                      "--set", f"sinks.sqlite={store}", "--set", "checkpoints.interval_ms=200"], stderr=open(path("killed.log"), "w"))
kill_loop(p, killed, KILLS)
p.wait()
ok(p.returncode == 0 and alerts(out) == want, f"killed {killed}: the same", open(path("killed.log")).read()[-1000:])
rows = sqlite3.connect(store).execute("SELECT seq, id, type, severity, symbol FROM anomalies").fetchall()
lines = [json.loads(l) for l in want]
ok(sorted(rows) == sorted((a["seq"], a["id"].replace("-", ""), a["type"], a["severity"], a["symbol"]) for a in lines), "each once in the store",
   f"{len(rows)} rows of {len(lines)}")
audit = subprocess.run([BIN, "audit", "--dir", d, "--set", f"sinks.sqlite={store}"], capture_output=True, text=True)
ok(audit.returncode == 0 and "sqlite anomalies" in audit.stdout, "the audit holds", audit.stdout + audit.stderr)

top = subprocess.run([BIN, "replay", f"capture:{d}/capture", "--toplist", "gainers_5m", "--limit", "7", "--json"], capture_output=True, text=True)
rows = json.loads(top.stdout)["rankings"]
ok(len(rows) == 7 and [r["rank"] for r in rows] == list(range(1, 8)) and
   rows == sorted(rows, key=lambda r: (-r["value"], r["symbol"])), "a toplist of the capture, in order", top.stdout + top.stderr)
done()
