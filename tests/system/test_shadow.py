#!/usr/bin/env python3
"""Rules in mode shadow: what they would have said is recorded, to the byte what they say when live, revisions and
withdrawals too; the same for any number of scanners, from a capture and after kills; once each in the file and the store;
nothing of it in a sink of alerts; the audit, explain and backtest know it."""
import sqlite3
from lib import *

SIM = "sim:symbols=60,seed=8,start=2026-03-02T09:25:00-05:00,minutes=12,rate=900,bad=0.01,cancels=0.8,halts=60"
ON = ["--set", "bars.corrections=true"]
RULES = [
    {"id": "jump", "name": "jump", "expr": "change_pct_1m > 1 or change_pct_1m < -1", "cooldown": 5},
    {"id": "wide", "name": "wide", "expr": "range_today > 0.02 * price", "cooldown": 30},
    {"id": "busy", "name": "busy", "expr": "volume_live > 2000 and price > ask", "cooldown": 10},
    {"id": "over", "name": "over", "expr": "price crosses above high_today * 0.999", "trigger": "cross", "cooldown": 5},
    {"id": "bar", "name": "bar", "expr": "high > 1.01 * close or volume > 20000", "trigger": "bar_close", "cooldown": 0},
    {"id": "few", "name": "few", "expr": "change_pct_1m > 0.5", "cooldown": 5, "symbols": ["SIM0001", "SIM0002", "SIM0003"]},
]
DARK = {"jump", "over", "bar", "few"}
KILLS = int(os.environ.get("KILLS", "2"))

live = rules("live.json", *RULES)
file = rules("mixed.json", *({**r, "mode": "shadow"} if r["id"] in DARK else r for r in RULES))
ringtape("replay", SIM, "--rules", live, *ON, "--alerts", path("live.jsonl"), "--shadows", path("none.jsonl"))
ok(alerts(path("none.jsonl")) == [], "live rules make none")
ringtape("replay", SIM, "--rules", file, *ON, "--alerts", path("replay.jsonl"), "--shadows", path("dark.jsonl"))
want, dark = alerts(path("replay.jsonl")), alerts(path("dark.jsonl"))
events = [json.loads(l) for l in dark]
kinds = {k: sum(e["kind"] == k for e in events) for k in ("fired", "revised", "withdrawn")}
ok(kinds["fired"] > 300 and kinds["revised"] > 5 and kinds["withdrawn"] > 5, f"there is something to compare: {kinds}", kinds)
ok({e["rule_id"] for e in events} == DARK and not {json.loads(l)["rule_id"] for l in want} & DARK and want, "alerts of shadow rules are in their file alone")
all_live = alerts(path("live.jsonl"))
ok(dark == [l for l in all_live if json.loads(l)["rule_id"] in DARK] and want == [l for l in all_live if json.loads(l)["rule_id"] not in DARK],
   "both are what all rules say when they are live, byte for byte")

for scanners in 1, 3:
    d, out, shadows = new_dir(), path("run.jsonl"), path("run.dark")
    ringtape("run", "--source", SIM, "--rules", file, "--dir", d, "--until-end", "--speed", "max", "--scanners", scanners, *ON,
             "--alerts", out, "--shadows", shadows)
    ok(alerts(out) == want and alerts(shadows) == dark, f"run with {scanners} scanners gives the same")
ringtape("replay", f"capture:{d}/capture", "--alerts", path("capture.jsonl"), "--shadows", path("capture.dark"))
ok(alerts(path("capture.jsonl")) == want and alerts(path("capture.dark")) == dark, "replay of the capture, with its own settings and rules")

e = next(e for e in events if e["kind"] == "withdrawn" and e["rule_id"] == "jump")
latest = [x for x in events if x["id"] == e["id"]][-1]
x = json.loads(ringtape("explain", e["id"], "--dir", d, "--json").stdout)
ok(x["reproduced"] == "equal" and x["alert"]["kind"] == "fired" and x["expression"]["truth"] == "true" and x["latest"] == latest,
   "explain shows why it fired, and what became of it", x)
page = ringtape("explain", e["id"], "--dir", d).stdout
ok(", shadow" in page and "cancelled since" in page, "… also on the page for people", page)
page = ringtape("explain", e["id"], f"capture:{d}/capture").stdout
ok(", shadow" in page, "… and from a capture alone", page)

d, store, out, shadows = new_dir(), path("store.db"), path("killed.jsonl"), path("killed.dark")
killed = {"ingest": 0, "scanner": 0, "publisher": 0}
p = subprocess.Popen([BIN, "run", "--source", SIM, "--rules", file, "--dir", d, "--until-end", "--speed", "50", "--scanners", "2", *ON,
                      "--alerts", out, "--shadows", shadows, "--set", f"sinks.sqlite={store}", "--set", f"sinks.jsonl={path('sink.jsonl')}",
                      "--set", "checkpoints.interval_ms=200"], stderr=open(path("killed.log"), "w"))
kill_loop(p, killed, KILLS)
p.wait()
ok(p.returncode == 0 and alerts(out) == want and alerts(shadows) == dark, f"killed {killed}: the same", open(path("killed.log")).read()[-1000:])
ok(sorted(alerts(path("sink.jsonl"))) == sorted(want), "a sink of alerts has the live ones alone")
db = sqlite3.connect(store)


def rows(table):
    return sorted((*r[:7], json.dumps(json.loads(r[7]))) for r in db.execute(
        f"SELECT seq, replace(id, '-', ''), kind, revision, symbol, timestamp, price, metadata FROM {table}"))


def of(lines):
    return sorted((e["seq"], e["id"], e["kind"], e["revision"], e["symbol"], e["timestamp"], e["price"], json.dumps(e["metadata"]))
                  for e in map(json.loads, lines))


ok(rows("shadow_alerts") == of(dark), "each once in the store's shadow_alerts", len(rows("shadow_alerts")))
ok(rows("alert_history") == of(want), "… and none in alert_history", len(rows("alert_history")))
ok(db.execute("SELECT count(*), sum(kind = 'withdrawn') FROM shadow_alerts_latest").fetchone() == (kinds["fired"], kinds["withdrawn"]),
   "the view of the latest has one row an alert")


def audit():
    a = subprocess.run([BIN, "audit", "--dir", d, "--set", f"sinks.sqlite={store}", "--set", f"sinks.jsonl={path('sink.jsonl')}"],
                       capture_output=True, text=True)
    return a.returncode, a.stdout + a.stderr


code, said = audit()
ok(code == 0 and "sqlite shadow alerts" in said and "outbox shadow alerts" in said, "the audit holds", said)
with db:
    db.execute("UPDATE shadow_alerts SET price = price + 0.01 WHERE rowid = 3")
    db.execute("DELETE FROM shadow_alerts WHERE rowid = 5")
db.close()
code, said = audit()
ok(code != 0 and "was changed: price is" in said and "is missing" in said, "… and finds a row that was changed, and one that is gone", said)

one, other = (json.loads(ringtape("backtest", f, SIM, *ON, "--json").stdout) for f in (live, file))
ok(one["rules"] == other["rules"] and one["total"] == other["total"], "backtest tries them as live ones", other["total"])
done()
