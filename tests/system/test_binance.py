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
done()
