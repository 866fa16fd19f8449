#!/usr/bin/env python3
"""Alerts whose print is cancelled are revised or withdrawn: the same for any number of scanners, from a capture and after
kills; once each in the file and the store; the audit, explain and backtest know them."""
import sqlite3
from lib import *

SIM = "sim:symbols=60,seed=8,start=2026-03-02T09:25:00-05:00,minutes=12,rate=900,bad=0.01,cancels=0.8,halts=60"
ON = ["--set", "bars.corrections=true"]
RULES = [
    {"id": "jump", "name": "jump", "expr": "change_pct_1m > 1 or change_pct_1m < -1", "cooldown": 5},
    {"id": "wide", "name": "wide", "expr": "range_today > 0.02 * price", "cooldown": 30},
    {"id": "busy", "name": "busy", "expr": "volume_live > 2000 and price > ask", "cooldown": 10},
    {"id": "mean", "name": "mean", "expr": "sma(5) > vwap(session) and rsi(5) > 60", "cooldown": 20},
    {"id": "over", "name": "over", "expr": "price crosses above high_today * 0.999", "trigger": "cross", "cooldown": 5},
    {"id": "soon", "name": "soon", "expr": "change_pct_1m > 1.5 within 5s and not (price < 1 for 2 bars)", "cooldown": 7},
    {"id": "bar", "name": "bar", "expr": "high > 1.01 * close or volume > 20000", "trigger": "bar_close", "cooldown": 0},
    {"id": "dark", "name": "dark", "expr": "price > 0", "mode": "shadow"},
]
KILLS = int(os.environ.get("KILLS", "2"))

file, log = rules("r.json", *RULES), path("replay.jsonl")
ringtape("replay", SIM, "--rules", file, *ON, "--alerts", log)
want = alerts(log)
events = [json.loads(l) for l in want]
kinds = {k: sum(e["kind"] == k for e in events) for k in ("fired", "revised", "withdrawn")}
ok(kinds["fired"] > 500 and kinds["revised"] > 10 and kinds["withdrawn"] > 10, f"there is something to compare: {kinds}", kinds)
of = {r["id"]: {e["kind"] for e in events if e["rule_id"] == r["id"]} for r in RULES}
ok(all(len(of[r]) > 1 for r in ("jump", "busy", "over", "bar")) and not of["dark"], "of prices, volumes, crossings and bars", of)

latest, bad = {}, []
for e in events:
    before = latest.get(e["id"])
    if e["kind"] == "fired":
        good = before is None and e["revision"] == 0
    else:
        good = before is not None and before["kind"] != "withdrawn" and e["revision"] == before["revision"] + 1 and \
            all(e[k] == before[k] for k in ("rule_id", "rule_version", "symbol", "timestamp", "trace_id")) and \
            list(e["metadata"]) == list(before["metadata"]) and e["seq"] > before["seq"] and \
            (e["kind"] == "withdrawn" or (e["price"], e["metadata"]) != (before["price"], before["metadata"]))
    if not good:
        bad.append((before, e))
    latest[e["id"]] = e
ok(not bad, "a revision follows its alert: its id, rule, symbol and time, the next number, other values; nothing follows a withdrawal", bad[:2])
wrong = [e for e in events if e["rule_id"] == "jump" and e["metadata"]["change_pct_1m"] is not None and
         (abs(e["metadata"]["change_pct_1m"]) > 1) == (e["kind"] == "withdrawn")]
ok(not wrong, "what is withdrawn does not hold with the values that it gives, all else does", wrong[:2])

ringtape("replay", SIM, "--rules", file, "--alerts", path("off.jsonl"))
ok({json.loads(l)["kind"] for l in alerts(path("off.jsonl"))} == {"fired"}, "none where no print is kept, the default")

for scanners in 1, 3:
    d, out = new_dir(), path("run.jsonl")
    ringtape("run", "--source", SIM, "--rules", file, "--dir", d, "--until-end", "--speed", "max", "--scanners", scanners, *ON, "--alerts", out)
    ok(alerts(out) == want, f"run with {scanners} scanners gives the same")
ringtape("replay", f"capture:{d}/capture", "--alerts", path("capture.jsonl"))
ok(alerts(path("capture.jsonl")) == want, "replay of the capture, with its own settings and rules")

e = next(e for e in events if e["kind"] == "withdrawn" and e["rule_id"] == "jump")
x = json.loads(ringtape("explain", e["id"], "--dir", d, "--json").stdout)
ok(x["reproduced"] == "equal" and x["alert"]["kind"] == "fired" and x["expression"]["truth"] == "true" and x["latest"] == latest[e["id"]],
   "explain shows why it fired, and what became of it", x)
ok("cancelled since" in ringtape("explain", e["id"], "--dir", d).stdout, "… also on the page for people")

d, store, out = new_dir(), path("store.db"), path("killed.jsonl")
killed = {"ingest": 0, "scanner": 0, "publisher": 0}
p = subprocess.Popen([BIN, "run", "--source", SIM, "--rules", file, "--dir", d, "--until-end", "--speed", "50", "--scanners", "2", *ON,
                      "--alerts", out, "--set", f"sinks.sqlite={store}", "--set", f"sinks.jsonl={path('sink.jsonl')}",
                      "--set", "checkpoints.interval_ms=200"], stderr=open(path("killed.log"), "w"))
kill_loop(p, killed, KILLS)
p.wait()
ok(p.returncode == 0 and alerts(out) == want, f"killed {killed}: the same", open(path("killed.log")).read()[-1000:])
ok(sorted(l for l in open(path("sink.jsonl"), "rb") if b'"rule_id"' in l) == sorted(want), "each once in the sink's file")
db = sqlite3.connect(store)
rows = db.execute("SELECT seq, id, kind, revision, symbol, timestamp, price, metadata FROM alert_history").fetchall()
ok(sorted((r[0], r[1].replace("-", "")) + r[2:7] + (json.dumps(json.loads(r[7])),) for r in rows) ==
   sorted((e["seq"], e["id"], e["kind"], e["revision"], e["symbol"], e["timestamp"], e["price"], json.dumps(e["metadata"])) for e in events),
   "each once in the store", f"{len(rows)} rows of {len(events)}")
ok(db.execute("SELECT count(*), sum(kind = 'withdrawn') FROM alert_history_latest").fetchone() ==
   (kinds["fired"], kinds["withdrawn"]), "the view of the latest has one row an alert")
audit = subprocess.run([BIN, "audit", "--dir", d, "--set", f"sinks.sqlite={store}"], capture_output=True, text=True)
ok(audit.returncode == 0 and "sqlite alerts" in audit.stdout, "the audit holds", audit.stdout + audit.stderr)

live = rules("live.json", *(r for r in RULES if r.get("mode") != "shadow"))  # a backtest tries those too
total = json.loads(ringtape("backtest", live, SIM, *ON, "--json").stdout)["total"]
ok(total["withdrawn"] == kinds["withdrawn"] and total["alerts"] + total["withdrawn"] == kinds["fired"], "backtest counts them beside", total["alerts"])
done()
