#!/usr/bin/env python3
"""The real tape: replay and run write exactly the bars of the reference."""
from lib import *

need_data(TAPE, BARS)
want = open(BARS).read()
empty = rules("rules.json", {"id": "none", "expr": "price < 0"})
ringtape("replay", f"csv:{TAPE}", "--set", "bars.eligibility=all", "--bars", path("replay.csv"), "--summary", path("s.json"))
ok(open(path("replay.csv")).read() == want, "replay writes the 2,254 bars of the reference and no other")
summary = json.load(open(path("s.json")))
ok(summary["messages"]["trade"] == 654140 and summary["bars"] == 2254 and summary["rejected"] == {},
   "the summary counts 654,140 trades and 2,254 bars", summary)
ringtape("run", "--source", f"csv:{TAPE}", "--rules", empty, "--dir", new_dir(), "--speed", "max", "--until-end",
         "--set", "bars.eligibility=all", "--bars", path("run.csv"), "--summary", path("s2.json"))
ok(open(path("run.csv")).read() == want, "run writes the same")
ok(json.load(open(path("s2.json")))["messages"] == {**summary["messages"], "rule": 1}, "and counts the same", open(path("s2.json")).read())
done()
