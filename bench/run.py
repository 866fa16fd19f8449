#!/usr/bin/env python3
"""Runs the benchmarks, writes build/bench.json, prints the table. The machine should do nothing else.
   make bench            all           make bench ONLY=engine        one of ring engine ingest e2e latency sinks
   make bench QUICK=1    short runs    (numbers with a wider spread)"""
import json, os, shutil, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
WORK = os.path.join(BUILD, "bench")
BIN = os.path.join(BUILD, "ringtape")
TAPE = os.path.join(ROOT, "..", "shared", "data", "ticks", "us-equity-lean", "tape_20131008_trades.csv.zst")
QUICK = bool(os.environ.get("QUICK"))
RUNS = 3 if QUICK else 5
DAYS = 20
rows = []


def say(text):
    print(text, file=sys.stderr, flush=True)


def placement():
    """Where the two CPUs stand to each other now."""
    probe = os.path.join(WORK, "probe")
    return subprocess.run([probe], stdout=subprocess.PIPE, text=True).stdout.strip() or None if os.path.exists(probe) else None


def placed(n, figure):
    """figure() until n runs count, in which the placement stayed (3 n at most): {placement: [figures]}."""
    found, kept = {}, 0
    for _ in range(3 * n):
        before = placement()
        x = figure()
        if before == placement():
            found.setdefault(before, []).append(x)
            kept += 1
            if kept == n:
                break
    return found


def add(bench, peer, kind, ours, theirs, unit, rules=None):
    """ours: figures of the runs by placement; theirs: of the peer's runs, or one number (a goal or a limit)."""
    t = statistics.median(theirs) if isinstance(theirs, list) else theirs
    for where, runs in ours.items():
        o, q = statistics.median(runs), sorted(runs)
        rows.append({"bench": bench, "peer": peer, "placement": where, "rules": rules, "kind": kind, "ours": o, "theirs": t,
                     "ratio": o / t if t else None, "unit": unit, "runs": len(runs), "spread": round((q[-1] - q[0]) / o, 3)})


def lines_of(program, *args):
    """The JSON lines of a bench program, if it is built."""
    path = os.path.join(WORK, program)
    if not os.path.exists(path):
        say(f"{program}: not built, left out")
        return
    p = subprocess.run([path, *args], stdout=subprocess.PIPE, text=True)
    if p.returncode:
        say(f"{program}: ended with {p.returncode}")
    rows.extend(json.loads(l) for l in p.stdout.splitlines() if l.startswith("{"))


def tape20():
    """The tape 20 times, each a day later, as csv and .zst."""
    csv, zst = os.path.join(WORK, "tape20.csv"), os.path.join(WORK, "tape20.csv.zst")
    if not os.path.exists(zst):
        say("making the tape of 20 days")
        text = subprocess.run(["zstd", "-dcq", TAPE], capture_output=True, text=True, check=True).stdout.splitlines()
        day = [l.split(",", 1) for l in text[1:]]
        with open(csv, "w") as f:
            f.write(text[0] + "\n")
            for d in range(DAYS):
                f.write("".join(f"{int(t) + d * 86400 * 10**9},{rest}\n" for t, rest in day))
        subprocess.run(["zstd", "-q", "-f", "-3", csv, "-o", zst], check=True)
    return csv, zst


def rule_file(name, rules):
    path = os.path.join(WORK, name)
    with open(path, "w") as f:
        json.dump(rules, f)
    return path


def run(source, rules, *args):
    """A run at full speed: its summary."""
    directory, summary = os.path.join(WORK, "instance"), os.path.join(WORK, "summary.json")
    shutil.rmtree(directory, ignore_errors=True)
    more = ["--rules", rules] if rules else []
    subprocess.run([BIN, "run", "--source", source, *more, "--dir", directory, "--speed", "max", "--until-end", "--summary", summary,
                    "--set", "log.level=error", *args], check=True)
    with open(summary) as f:
        return json.load(f)


def ingest_and_e2e(which):
    csv, zst = tape20()
    none = rule_file("none.json", [{"id": "none", "symbols": ["NONE"], "expr": "price < 0"}])
    market = rule_file("market.json", [{"id": f"m{i}", "expr": f"change_pct_1m > {0.02 + 0.001 * i:.4f} and change_pct_5m > "
                                        f"{0.05 + 0.002 * i:.4f} and rsi(14)@1m > {50 + 0.2 * i:.1f}"} for i in range(100)])
    capture = os.path.join(WORK, "capture")
    if not os.path.isdir(capture):
        subprocess.run([BIN, "import", f"csv:{csv}", capture], check=True, stdout=subprocess.DEVNULL)
    off = ["--set", "journal.enabled=false"]
    sources = [("csv", f"csv:{csv}", [], 10e6, None), ("csv.zst", f"csv:{zst}", [], 8e6, 8e6), ("capture", f"capture:{capture}", off, 20e6, 15e6)]
    per_second = lambda s, what: s["messages"]["trade"] / s[what]
    for kind, source, args, goal_in, goal_e2e in sources:
        if which in (None, "ingest"):
            rate = placed(RUNS, lambda: per_second(run(source, None if kind == "capture" else none, *args), "ingest_seconds"))
            add("ingest_ticks_per_s", "goal", kind, rate, goal_in, "ticks/s")
        if which in (None, "e2e") and goal_e2e:
            rate = placed(RUNS, lambda: per_second(run(source, market, *args), "seconds"))
            add("e2e_ticks_per_s", "goal", kind, rate, goal_e2e, "ticks/s", rules=100)
            peer = nautilus()
            if peer:
                add("e2e_ticks_per_s", "nautilus_trader", kind, rate, peer, "ticks/s", rules=100)


def sinks():
    """Each sink beside its client library on a server of its own."""
    servers = {"redis": ("redis.sh", "redis://127.0.0.1:{}/0"), "postgres": ("postgres.sh", "postgresql://ringtape@127.0.0.1:{}/ringtape"),
               "kafka": ("kafka.sh", "127.0.0.1:{}")}
    for name, (script, where) in servers.items():
        script, directory = os.path.join(ROOT, "scripts", script), tempfile.mkdtemp(prefix="ringtape-bench-")
        os.chmod(directory, 0o711)
        started = subprocess.run([script, "start", os.path.join(directory, name)], capture_output=True, text=True)
        if started.returncode:
            say(f"{name}: left out: {started.stderr.strip()[-300:]}")
        else:
            lines_of("sink", name, where.format(started.stdout.split()[-1]), *(["--quick"] if QUICK else []))
            subprocess.run([script, "stop", os.path.join(directory, name)], check=True)
        shutil.rmtree(directory, ignore_errors=True)


_nautilus = None


def nautilus():
    """NautilusTrader's wheel over one day of the tape: ticks a second of each run, [] where it cannot be had."""
    global _nautilus
    if _nautilus is None:
        venv = os.path.join(WORK, "venv")
        python = os.path.join(venv, "bin", "python")
        if not os.path.exists(python):
            say("installing NautilusTrader from PyPI")
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        if subprocess.run([python, "-c", "import nautilus_trader"], capture_output=True).returncode:
            subprocess.run([python, "-m", "pip", "install", "-q", "nautilus_trader"], capture_output=True)
        p = subprocess.run([python, os.path.join(ROOT, "bench", "nautilus.py"), TAPE, str(min(RUNS, 3))], capture_output=True, text=True)
        _nautilus = [float(x) for x in p.stdout.split()] if p.returncode == 0 else []
        if not _nautilus:
            say("NautilusTrader: left out\n" + p.stderr[-600:])
    return _nautilus


def table():
    print(f"{'bench':22} {'kind':16} {'rules':>6} {'placement':10} {'peer':24} {'ours':>14} {'theirs':>14} {'ratio':>7} {'spread':>7} unit")
    number = lambda x: "" if x is None else f"{x:,.0f}" if abs(x) >= 1000 else f"{x:,.2f}"
    for r in rows:
        print(f"{r['bench']:22} {r['kind'] or '':16} {r['rules'] if r['rules'] is not None else '':>6} {r['placement'] or '':10} {r['peer']:24} "
              f"{number(r['ours']):>14} {number(r['theirs']):>14} {number(r['ratio']):>7} {number(r['spread']):>7} {r['unit']}")


def main():
    only = os.environ.get("ONLY") or None
    os.makedirs(WORK, exist_ok=True)
    quick = ["--quick"] if QUICK else []
    started = time.time()
    if only in (None, "ring"):
        lines_of("ring", *quick)
    if not os.path.exists(TAPE) and only != "ring":
        say("no tape in ../shared: engine, ingest, e2e are left out")
    else:
        if only in (None, "engine"):
            lines_of("engine", TAPE, *quick)
        if only in (None, "ingest", "e2e"):
            ingest_and_e2e(only)
        if only in (None, "latency"):
            before, n = placement(), len(rows)
            lines_of("latency", *quick)
            after = placement()
            for r in rows[n:]:
                r["placement"] = before if before == after else f"{before}>{after}"
    if only in (None, "sinks"):
        sinks()
    with open(os.path.join(BUILD, "bench.json"), "w") as f:
        json.dump(rows, f, indent=1)
    table()
    say(f"build/bench.json: {len(rows)} rows, {time.time() - started:.0f} s")


main()
