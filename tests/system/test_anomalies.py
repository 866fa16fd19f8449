#!/usr/bin/env python3
"""Anomalies are the same ones for any number of scanners, from a capture, and after each role was killed, and all at once;
the store has each once, and the audit agrees."""
import sqlite3
from lib import *

random.seed(int(os.environ.get("SEED", 5)))

SIM = "sim:symbols=300,seed=5,start=2026-03-02T09:25:00-05:00,minutes=30,rate=1500"
ON = ["--set", "anomalies.enabled=true", "--set", "anomalies.silence_min=1", "--set", "anomalies.volatility=4.5", "--set",
      "anomalies.burst=4.5", "--set", "anomalies.drift=4"]
SECTORS = ["Energy", "Utilities", "Technology", "Banks", ""]
ON += ["--attributes", write("sectors.csv", "symbol,sector\n" + "".join(f"SIM{i:04},{SECTORS[i % 5] if i < 280 else f'of{i % 8}'}\n" for i in range(1, 301)))]
WITH = ON + ["--set", "anomalies.sector=3.5"]
KILLS = int(os.environ.get("KILLS", "2"))

log = path("replay.jsonl")
ringtape("replay", SIM, *WITH, "--anomalies", log)
want = alerts(log)
found = {}
for line in want:
    a = json.loads(line)
    found[a["type"]] = found.get(a["type"], 0) + 1
ok(len(want) > 200 and {"suspect", "spike", "drop", "volatility", "drift", "sector"} <= set(found), f"there is something to compare: {found}", found)
ok(len({json.loads(l)["id"] for l in want}) == len(want), "each has an id of its own")

sector = [a for a in map(json.loads, want) if a["type"] == "sector"]
ok(len(sector) > 20 and all(abs(a["score"]) >= 3.5 and a["threshold"] == 3.5 for a in sector), "moves against a sector", sector[:1])
bad = [a for a in sector if int(a["symbol"][3:]) % 5 == 4 or int(a["symbol"][3:]) >= 280]
ok(not bad, "none of a symbol without a sector, or in one of fewer than 5", bad[:1])
last, quiet = {}, 0
for a in sorted(sector, key=lambda a: a["timestamp"]):
    t = int(a["timestamp"][11:13]) * 3600 + int(a["timestamp"][14:16]) * 60 + float(a["timestamp"][17:-1])
    quiet += t - last.get(a["symbol"], -60) < 60
    last[a["symbol"]] = t
ok(quiet == 0, "none within a minute of another one of its symbol", quiet)
ringtape("replay", SIM, *ON, "--set", "anomalies.sector=0", "--anomalies", path("no-sector.jsonl"))
ok(alerts(path("no-sector.jsonl")) == [l for l in want if json.loads(l)["type"] != "sector"], "with anomalies.sector=0 all but these")

ringtape("replay", SIM, "--anomalies", path("off.jsonl"))
ok(os.path.getsize(path("off.jsonl")) == 0, "none where they are off, the default")

for scanners in 1, 2, 4:
    d, out = new_dir(), path("run.jsonl")
    ringtape("run", "--source", SIM, "--dir", d, "--until-end", "--speed", "max", "--scanners", scanners, *WITH, "--anomalies", out)
    ok(alerts(out) == want, f"run with {scanners} scanners gives the same")
ringtape("replay", f"capture:{d}/capture", "--anomalies", path("capture.jsonl"))
ok(alerts(path("capture.jsonl")) == want, "replay of the capture, with its own settings")

d, store, out = new_dir(), path("store.db"), path("killed.jsonl")
killed = {"ingest": 0, "scanner": 0, "publisher": 0, "market": 0}
p = subprocess.Popen([BIN, "run", "--source", SIM, "--dir", d, "--until-end", "--speed", "100", "--scanners", "2", *WITH, "--anomalies", out,
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

out = path("source.jsonl")
ringtape("run", "--source", f"capture:{d}/capture", "--dir", new_dir(), "--until-end", "--speed", "max", "--scanners", "2", "--anomalies", out)
ok(alerts(out) == want, "run of the capture, with its own settings")

# All at once, as by a power cut that takes the workspace: what was compared goes on from checkpoints and outbox.
d, out, starts = new_dir(), path("again.jsonl"), 0
args = ["run", "--source", SIM, "--dir", d, "--until-end", "--speed", "150", "--scanners", "2", *WITH, "--anomalies", out, "--set", "checkpoints.interval_ms=300"]
while starts < 6:
    p = subprocess.Popen([BIN, *args], stderr=open(path(f"again{starts}.log"), "w"), start_new_session=True)
    starts += 1
    try:
        p.wait(timeout=random.uniform(1.5, 4) if starts < 6 else 300 * PATIENCE)
        break
    except subprocess.TimeoutExpired:
        pids = [p.pid, *roles(p)]
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
        if starts % 2:
            os.remove(os.path.realpath(os.path.join(d, "workspace")))
loaded = [l for i in range(starts) for l in open(path(f"again{i}.log")) if "loaded from checkpoints" in l and " 0 buckets" not in l]
ok(p.returncode == 0 and starts > 2 and alerts(out) == want, f"all were killed {starts - 1} times, and the workspace taken: the same",
   open(path(f"again{starts - 1}.log")).read()[-1000:])
ok(loaded, "checkpoints were used", starts)
audit = subprocess.run([BIN, "audit", "--dir", d], capture_output=True, text=True)
ok(audit.returncode == 0, "the audit of it holds", audit.stdout + audit.stderr)

top = subprocess.run([BIN, "replay", f"capture:{d}/capture", "--toplist", "gainers_5m", "--limit", "7", "--json"], capture_output=True, text=True)
rows = json.loads(top.stdout)["rankings"]
ok(len(rows) == 7 and [r["rank"] for r in rows] == list(range(1, 8)) and
   rows == sorted(rows, key=lambda r: (-r["value"], r["symbol"])), "a toplist of the capture, in order", top.stdout + top.stderr)
done()
