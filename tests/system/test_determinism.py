#!/usr/bin/env python3
"""The alert log, sorted by (seq, id), is byte-identical however the same input is run. SOAK=1: a longer
market, and each input in all ways."""
from lib import *

SOAK = bool(os.environ.get("SOAK"))
MINUTES, RATE = (25, 1500) if SOAK else (13, 500)  # the opening is in both
SIM = f"sim:symbols=500,seed=7,start=2026-03-02T09:20:00-05:00,minutes={MINUTES},rate={RATE}"
METRICS = f"sim:symbols=40,seed=11,start=2026-03-02T09:20:00-05:00,minutes=20,rate={150 if SOAK else 40}"
ALL, FEW = r"", r"^2 scanners|^64-slot rings, 3|reverse|toplists"


def check(name, source, rule_file, ways=ALL, ten_minutes=False):
    """ways: which of the runs below, where there is no SOAK."""
    log = path(f"{name}.jsonl")
    ringtape("replay", source, "--rules", rule_file, "--alerts", log)
    want = alerts(log)
    ok(len(want) > 100, f"{name}: the rules fire often enough to compare ({len(want)} alerts)")
    kept = new_dir()
    runs = [
        ("1 scanner", kept, ["--speed", "max"]),
        ("2 scanners", new_dir(), ["--speed", "max", "--scanners", 2]),
        ("4 scanners", new_dir(), ["--speed", "max", "--scanners", 4]),
        ("64-slot rings", new_dir(), ["--speed", "max", "--set", "rings.tick_slots=64", "--set", "rings.event_slots=64"]),
        ("64-slot rings, 3 scanners", new_dir(), ["--speed", "max", "--scanners", 3, "--set", "rings.tick_slots=64", "--set", "rings.event_slots=64"]),
        ("all buckets on one of 2 scanners", new_dir(), ["--speed", "max", "--scanners", 2, "--set", "rings.bucket_table=one"]),
        ("buckets in reverse", new_dir(), ["--speed", "max", "--scanners", 3, "--set", "rings.bucket_table=reverse"]),
        ("speed 5000", new_dir(), ["--speed", 5000]),
        ("toplists", new_dir(), ["--speed", "max", "--scanners", 2, "--set", "toplists.enabled=true"]),
    ]
    for what, directory, args in (r for r in runs if SOAK or r[1] == kept or re.search(ways, r[0])):
        out = path("run.jsonl")
        ringtape("run", "--source", source, "--rules", rule_file, "--dir", directory, "--until-end", "--alerts", out, *args)
        ok(alerts(out) == want, f"{name}: run with {what} gives the same log")
        if directory != kept:
            remove(directory)
    capture = f"capture:{kept}/capture"
    ringtape("replay", capture, "--alerts", path("c.jsonl"))
    ok(alerts(path("c.jsonl")) == want, f"{name}: replay of the capture, with its own rules")
    ringtape("replay", capture, "--rules", rule_file, "--alerts", path("c2.jsonl"))
    ok(alerts(path("c2.jsonl")) == want, f"{name}: replay of the capture, with rules from the command line")
    out = path("rc.jsonl")
    ringtape("run", "--source", capture, "--dir", new_dir(), "--speed", "max", "--until-end", "--alerts", out)
    ok(alerts(out) == want, f"{name}: run of the capture")
    ringtape("replay", source, "--rules", rule_file, "--messages", path("messages"))
    native = subprocess.run([os.path.join(ROOT, "build/replay_digest"), path("messages")], capture_output=True)
    single = subprocess.run([os.path.join(ROOT, "build/replay_digest"), path("messages"), "1"], capture_output=True)
    ok(native.returncode == 0 and native.stdout == single.stdout and native.stdout.count(b"\nalert ") >= len(want) - 1,
       f"{name}: single-message batches", native.stderr)
    cross = os.path.join(ROOT, "build/aarch64/replay_digest")
    if shutil.which("qemu-aarch64"):
        other = subprocess.run(["qemu-aarch64", cross, path("messages")], capture_output=True)
        ok(other.returncode == 0 and other.stdout == native.stdout, f"{name}: the engine for aarch64 under qemu-user", other.stderr)
    else:
        print("ok - aarch64 # SKIP no qemu-aarch64")
    if ten_minutes:
        lines = [l for i, l in enumerate(zstd_lines(TAPE)) if i == 0 or 1381239000 <= int(l[:10]) < 1381239600]
        part = write("ten.csv", "".join(lines))
        ringtape("replay", f"csv:{part}", "--rules", rule_file, "--alerts", path("t1.jsonl"))
        ringtape("run", "--source", f"csv:{part}", "--rules", rule_file, "--dir", new_dir(), "--speed", 100, "--until-end",
                 "--alerts", path("t2.jsonl"))
        t1 = alerts(path("t1.jsonl"))
        ok(len(t1) > 20 and alerts(path("t2.jsonl")) == t1, f"{name}: speed 100 on ten minutes ({len(t1)} alerts)")


everything = rules("everything.json", *EVERYTHING)
check("simulated market", SIM, everything)


def check_events(rule_file):
    """Halts, cancelled and corrected prints, flat bars."""
    source, extra = "sim:symbols=100,seed=3,minutes=10,rate=1000,bad=0.01,halts=200", ["--set", "bars.corrections=true", "--set", "bars.flat=true"]
    def results(name):
        return alerts(path(f"{name}.jsonl")), open(path(f"{name}.csv")).read()
    ringtape("replay", source, "--rules", rule_file, "--alerts", path("e.jsonl"), "--bars", path("e.csv"), *extra)
    want, kept = results("e"), new_dir()
    ok(len(want[0]) > 100, f"events: the rules fire often enough to compare ({len(want[0])} alerts)")
    ringtape("run", "--source", source, "--rules", rule_file, "--dir", kept, "--speed", "max", "--scanners", 3, "--until-end",
             "--alerts", path("e3.jsonl"), *extra)
    ok(alerts(path("e3.jsonl")) == want[0], "events: run with 3 scanners gives the same log")
    ringtape("replay", f"capture:{kept}/capture", "--alerts", path("ec.jsonl"), "--bars", path("ec.csv"))
    ok(results("ec") == want, "events: replay of the capture gives the same alerts and bars")


check_events(everything)
if os.path.exists(TAPE):
    check("tape", f"csv:{TAPE}", everything, FEW, ten_minutes=True)
else:
    print(f"ok - the tape # SKIP {os.path.relpath(TAPE, ROOT)} is not there")
check("every metric and form", METRICS, rules("every.json", *every_metric()), FEW)
done()
