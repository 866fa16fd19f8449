#!/usr/bin/env python3
"""Runs the benchmarks, writes build/bench.json, prints the table. The machine should do nothing else.
   make bench            all           make bench ONLY=engine        one of ring engine esper market ingest e2e latency journal restart sinks
   make bench QUICK=1    short runs    (numbers with a wider spread)"""
import json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, urllib.request

import esper

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


def journal():
    """What the journal writes at ingest's full speed, and what that costs: the same rows with and without it, in turn."""
    csv, _ = tape20()
    none = rule_file("none.json", [{"id": "none", "symbols": ["NONE"], "expr": "price < 0"}])
    bytes_of = lambda d: sum(os.path.getsize(os.path.join(d, f)) for f in os.listdir(d))
    speed = {"on": [], "off": []}
    written = []

    def both():
        for kind, args in (("on", ["--set", "journal.compress=false"]), ("off", ["--set", "journal.enabled=false"])):
            summary = run(f"csv:{csv}", none, *args)
            speed[kind].append(summary["messages"]["trade"] / summary["ingest_seconds"])
            if kind == "on":
                written.append(bytes_of(os.path.join(WORK, "instance", "capture")) / summary["ingest_seconds"] / 1e6)
        return 100 * (1 - speed["on"][-1] / speed["off"][-1])
    cost = placed(RUNS, both)
    add("journal_write", "none", "csv", {next(iter(cost), None): written}, None, "MB/s")
    add("journal_cost", "goal", "csv", cost, 5, "% of ingest's ticks/s")


def steps_of(port, scanner):
    """The steps of a scanner so far: upper bound in seconds -> how many lasted no longer."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    rows = [l for l in text.splitlines() if l.startswith(f'ringtape_loop_step_seconds_bucket{{role="scanner",index="{scanner}"')]
    return {float(re.search(r',le="([^"]+)"', l)[1].replace("+Inf", "inf")): float(l.split()[-1]) for l in rows}


def restart():
    """A scanner of two is killed late in a day of 10,000 symbols: how long until it is level, and how long the steps of the
    other one are meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    market = rule_file("day.json", [{"id": f"m{i}", "trigger": "cross", "expr": f"change_pct_5m > {2 + 0.5 * i} and rsi(14)@1m > 70"} for i in range(20)])
    directory, log = os.path.join(WORK, "instance"), os.path.join(WORK, "restart.log")
    shutil.rmtree(directory, ignore_errors=True)
    with open(log, "w") as f:
        p = subprocess.Popen([BIN, "run", "--source", "sim:symbols=10000,minutes=390,rate=1000,open=0,burst=1", "--rules", market, "--dir", directory,
                              "--speed", "600", "--until-end", "--scanners", "2", "--set", f"http.port={port}", "--set", "checkpoints.interval_ms=10000",
                              "--set", "loop.cpu_time=true"],
                             stderr=f)
    begun, figures = time.time(), {"load": [], "replay": [], "all": [], "other": []}
    for at_s in (24, 28, 32) if QUICK else (20, 23, 26, 29, 32):
        time.sleep(max(0, begun + at_s - time.time()))
        pid = next((int(x) for x in os.listdir("/proc") if x.isdigit() and b"scanner:1" in cmdline(x) and directory.encode() in cmdline(x)), None)
        before, done = steps_of(port, 0), open(log).read().count("caught up")
        os.kill(pid, signal.SIGKILL)
        end = time.time() + 20
        while open(log).read().count("caught up") == done and time.time() < end:
            time.sleep(0.01)
        after = steps_of(port, 0)
        seen = re.findall(r"caught up after ([\d.]+) s: (\d+) buckets loaded from checkpoints in ([\d.]+) s, (\d+) messages applied from the journal in ([\d.]+) s",
                          open(log).read())[-1]
        total = after[float("inf")] - before[float("inf")]
        figures["all"].append(float(seen[0]))
        figures["load"].append(float(seen[2]))
        figures["replay"].append(float(seen[3]) / max(float(seen[4]), 1e-9))
        figures["other"].append(1e6 * next(b for b in sorted(after) if after[b] - before.get(b, 0) >= 0.999 * total))
    p.terminate()
    p.wait()
    where = placement()
    add("scanner_restart_load", "goal", "10,000 symbols", {where: figures["load"]}, 1, "s")
    add("scanner_restart_replay", "goal", "10,000 symbols", {where: figures["replay"]}, 3e6, "messages/s")
    add("scanner_restart", "none", "10,000 symbols", {where: figures["all"]}, None, "s until caught up")
    add("scanner_restart_others", "goal", "step p99.9", {where: figures["other"]}, 20, "us of CPU time, at most")


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read()
    except OSError:
        return b""


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


def market():
    """Memory and minutes of 10,000 symbols, scans over them; loading 100,000 rules without Esper beside it."""
    lines_of("market", *["--quick"] * QUICK)
    if not os.path.exists(TAPE):
        return say("no tape in ../shared: rules_load_s is left out")
    tape, path, load = esper.Tape(TAPE), os.path.join(WORK, "load.json"), []
    with open(path, "w") as f:
        json.dump([rule for rule, _ in esper.rules_of("price_cross", 100000, tape)], f)
    for _ in range(RUNS):
        side = esper.Side("ringtape", [os.path.join(WORK, "rules"), tape.csv, path])
        load.append(side.load_s)
        side.close()
    add("rules_load_s", "goal", "price_cross", {"one core": load}, 2, "s", 100000)


def table():
    """What is no figure is a failure: its note says which."""
    print(f"{'bench':22} {'kind':16} {'rules':>6} {'placement':10} {'peer':24} {'ours':>14} {'theirs':>14} {'ratio':>7} {'spread':>7} unit")
    number = lambda x: "" if x is None else f"{x:,.0f}" if abs(x) >= 1000 else f"{x:,.2f}"
    for r in rows:
        print(f"{r['bench']:22} {r['kind'] or '':16} {r['rules'] if r['rules'] is not None else '':>6} {r['placement'] or '':10} {r['peer']:24} "
              f"{number(r['ours']):>14} {number(r['theirs']):>14} {number(r['ratio']):>7} {number(r['spread']):>7} {r['unit']}"
              + (f"  {r['note']}" if r["ours"] is None else ""))


def main():
    only = os.environ.get("ONLY") or None
    os.makedirs(WORK, exist_ok=True)
    quick = ["--quick"] if QUICK else []
    started = time.time()
    if only in (None, "ring"):
        lines_of("ring", *quick)
    if only in (None, "market"):
        market()
    if not os.path.exists(TAPE) and only not in ("ring", "market"):
        say("no tape in ../shared: engine, ingest, e2e are left out")
    else:
        if only in (None, "engine"):
            lines_of("engine", TAPE, *quick)
        if only in (None, "engine", "esper"):
            rows.extend(esper.bench(TAPE, QUICK))
        if only in (None, "ingest", "e2e"):
            ingest_and_e2e(only)
        if only in (None, "latency"):
            before, n = placement(), len(rows)
            lines_of("latency", *quick)
            after = placement()
            for r in rows[n:]:
                r["placement"] = before if before == after else f"{before}>{after}"
        if only in (None, "journal"):
            journal()
    if only in (None, "restart"):
        restart()
    if only in (None, "sinks"):
        sinks()
    with open(os.path.join(BUILD, "bench.json"), "w") as f:
        json.dump(rows, f, indent=1)
    table()
    say(f"build/bench.json: {len(rows)} rows, {time.time() - started:.0f} s")
    if any(r["ours"] is None for r in rows):
        sys.exit("a row has no figure: its note says why")


main()
