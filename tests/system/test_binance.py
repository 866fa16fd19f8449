#!/usr/bin/env python3
"""The two usdm captures together: every line is accounted for."""
from lib import *

need_data(*USDM)
file = rules("r.json", {"id": "move", "conditions": [{"metric": "change_pct_1m", "operator": ">", "value": 0.05}]},
             {"id": "spread", "trigger": "cross", "conditions": [{"metric": "spread", "operator": ">", "value": 0.1}]})
sources = [f"binance-jsonl:{p}" for p in USDM]
ringtape("replay", *sources, "--rules", file, "--alerts", path("a.jsonl"), "--summary", path("s.json"))
s = json.load(open(path("s.json")))
ok(s["messages"]["trade"] == 35389 and s["messages"]["quote"] == 120081, "35,389 trades and 120,081 quotes", s)
ok(s["skipped"] == {"depthUpdate": 13137, "snapshot": 2} and s["rejected"] == {}, "13,137 depthUpdate and 2 snapshots skipped", s)
ok(35389 + 120081 + 13137 + 2 == 168609, "which is every line")
fired = [json.loads(l)["rule_id"] for l in open(path("a.jsonl"))]
ok(fired.count("move") > 0 and fired.count("spread") > 0, "both rules fire", fired)
args = [x for s in sources for x in ("--source", s)]
ringtape("run", *args, "--rules", file, "--dir", new_dir(), "--speed", "max", "--until-end", "--alerts", path("b.jsonl"), "--scanners", 2)
ok(alerts(path("b.jsonl")) == alerts(path("a.jsonl")), "run gives the same alerts")

# Conflated: fewer quotes, all trades, every line still accounted for; run and the replay of its capture the same.
on = ("--set", "conflate.quotes_ms=100")
ringtape("replay", *sources, "--rules", file, "--alerts", path("c.jsonl"), "--summary", path("c.json"), *on)
s = json.load(open(path("c.json")))
quotes = s["messages"]["quote"]
ok(s["messages"]["trade"] == 35389 and 0 < quotes < 60000 and s["conflated"] == 120081 - quotes, "conflated: 35,389 trades, fewer quotes", s)
ok(s["rows"] == 168609 == 35389 + quotes + sum(s["skipped"].values()) + sum(s["rejected"].values()) + s["conflated"], "which is every line", s)
fired = [json.loads(l)["rule_id"] for l in open(path("c.jsonl"))]
ok(fired.count("move") > 0 and fired.count("spread") > 0 and alerts(path("c.jsonl")) != alerts(path("a.jsonl")), "both rules fire, otherwise", fired)
for n in 1, 2:
    dir = new_dir()
    out, again = path(f"c{n}.jsonl"), path(f"again{n}.jsonl")
    ringtape("run", *args, "--rules", file, "--dir", dir, "--speed", "max", "--until-end", "--alerts", out, "--scanners", n,
             "--summary", path(f"c{n}.json"), *on)
    t = json.load(open(path(f"c{n}.json")))
    ok(alerts(out) == alerts(path("c.jsonl")), f"run with {n} scanners gives the same alerts")
    ok(all(t[k] == s[k] for k in ("rows", "messages", "skipped", "rejected", "conflated", "alerts")), "and counts", t)
    ringtape("replay", f"capture:{dir}/capture", "--alerts", again, "--summary", path("again.json"))
    ok(alerts(again) == alerts(out), "so does the replay of its capture")
    ok(json.load(open(path("again.json")))["messages"] == s["messages"], "with the same messages", s)
ringtape("replay", f"capture:{dir}/capture", "--alerts", again, *on)
ok(alerts(again) == alerts(out), "which is not conflated again")

dir = new_dir()
p = subprocess.Popen([BIN, "run", *args, "--rules", file, "--dir", dir, "--speed", "max", *on], stderr=subprocess.DEVNULL)
report = {"stages": []}


def source_stage():
    global report
    got = ringtape("audit", "--dir", dir, "--json", code=None)
    report = json.loads(got.stdout) if got.stdout else report
    return next((s for s in report["stages"] if s["stage"] == "source"), None)


ok(wait_for(source_stage, 120), "the audit of a running instance whose source has ended tells of its rows", report)
stage = source_stage() or {}
ok(stage.get("verdict") == "holds" and stage["produced"] == 168609 and stage["delivered"] == 35389 + quotes
   and stage["reasons"] == {"skipped": 13139, "conflated": s["conflated"]}, "each of which is accounted for", stage)
p.send_signal(signal.SIGTERM)
ok(p.wait(60 * PATIENCE) == 0, "it ends")
done()
