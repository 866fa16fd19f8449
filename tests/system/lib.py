"""What the system tests share: the binary, the data beside the project, TAP lines."""
import atexit, csv, http.client, json, os, random, re, shutil, signal, socket, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.join(ROOT, "build", "ringtape")
SHARED = os.path.join(ROOT, "..", "shared")
DATA = os.path.join(SHARED, "data")
EQUITY = os.path.join(DATA, "ticks", "us-equity-lean")
TAPE = os.path.join(EQUITY, "tape_20131008_trades.csv.zst")
BARS = os.path.join(EQUITY, "tape_20131008_strict_1m_bars.csv")
BINANCE = os.path.join(DATA, "ticks", "crypto-binance-ws")
USDM = [os.path.join(BINANCE, f"usdm_{s}usdt_20240808.jsonl.zst") for s in ("btc", "eth")]

signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that `finally` ends servers and instances
failed = 0
tmp = tempfile.mkdtemp(prefix="ringtape-test-")
os.environ.setdefault("RINGTAPE_LOOP_SLEEP_US", "1000")  # instances whose market is quiet leave the CPUs to others


def ok(condition, what, detail=""):
    """Prints the TAP line of one check."""
    global failed
    print(("ok - " if condition else "not ok - ") + what, flush=True)
    if not condition:
        failed += 1
        for line in str(detail).splitlines()[:20]:
            print("    " + line, flush=True)
    return condition


def need_data(*paths):
    """Ends the test as skipped where the data beside the project is missing."""
    for p in paths or (DATA,):
        if not os.path.exists(p):
            print(f"ok - data # SKIP {os.path.relpath(p, ROOT)} is not there")
            sys.exit(0)


def done():
    sys.exit(1 if failed else 0)


def processes_of(directory):
    """The processes that have the directory on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as f:
                found += [int(pid)] if directory in f.read() else []
        except OSError:
            pass  # it has just ended
    return found


def remove(directory):
    """Deletes what is in it, and the workspaces of its instances: they lie elsewhere, and a killed one leaves its own."""
    for folder, folders, files in os.walk(directory):
        link = os.path.join(folder, "workspace")
        if os.path.islink(link) and os.path.exists(link):
            os.remove(os.path.realpath(link))
    shutil.rmtree(directory, ignore_errors=True)


@atexit.register
def leave():
    """Nothing of a test stays behind, however it ended: servers and instances have its directory on their command line."""
    for _ in range(250):
        left = processes_of(tmp)
        if not left:
            break
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    remove(tmp)


def path(name):
    return os.path.join(tmp, name)


def write(name, text):
    with open(path(name), "wb" if isinstance(text, bytes) else "w") as f:
        f.write(text)
    return path(name)


def rules(name, *rows):
    return write(name, json.dumps(list(rows)))


PATIENCE = 4  # waits end when what they wait for is there: long ones cost nothing, but on a loaded machine they help


def ringtape(*args, code=0, timeout=300 * PATIENCE, env=None):
    """Runs ringtape; checks its exit code unless code is None. Returns the finished process."""
    if args[0] == "run" and "--drain-timeout" not in args:
        args += "--drain-timeout", 60 * PATIENCE
    p = subprocess.run([BIN, *map(str, args)], capture_output=True, text=True, errors="replace", timeout=timeout,
                       env=None if env is None else {**os.environ, **env})
    if code is not None and p.returncode != code:
        ok(False, f"exit code of ringtape {' '.join(map(str, args))[:120]}", f"{p.returncode}, expected {code}\n{p.stderr}")
    return p


_dirs = 0


def new_dir():
    global _dirs
    _dirs += 1
    return path(f"instance{_dirs}")


SEQ, ID = re.compile(rb'"seq":(\d+)'), re.compile(rb'"id":"([^"]*)"')


def alerts(file):
    """The alert log as lines sorted by (seq, id)."""
    with open(file, "rb") as f:
        lines = f.readlines()
    return sorted(lines, key=lambda l: (int(SEQ.search(l)[1]), ID.search(l)[1]))


def zstd_lines(file):
    p = subprocess.Popen(["zstd", "-dcq", file], stdout=subprocess.PIPE, text=True)
    yield from p.stdout
    p.wait()


def wait_for(what, seconds=20.0, every=0.02):
    """Waits until what() is true, asked `every` so many seconds, but at most half of the time: some ask by
    starting a process. Returns whether it became so within `seconds` of an idle machine."""
    end = time.time() + seconds * PATIENCE
    while (began := time.time()) < end:
        if what():
            return True
        time.sleep(max(every, time.time() - began))
    return False


def roles(p):
    """The running roles of an instance: pid -> name ("ingest", "scanner:0", "publisher")."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            args = open(f"/proc/{pid}/cmdline").read().split("\0")
            ppid = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if ppid == p.pid and "--role" in args:
            found[int(pid)] = args[args.index("--role") + 1]
    return found


def role_pid(p, name):
    """The pid of a role; None while there is none."""
    return next((pid for pid, role in roles(p).items() if role == name), None)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def ask(port, page):
    """Status and text of a page of an instance's HTTP face; (0, "") while it does not answer."""
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        c.request("GET", page)
        r = c.getresponse()
        return r.status, r.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


def kill_loop(p, killed, kills):
    """kill -9 of the roles of an instance, one after the other at random instants, until it ends or each kind of role has
    had `kills`, counted in killed ("ingest", "scanner", "publisher"). An instance stops when a role fails 20 times in a
    row within a second of its start: so no kind is singled out, also not the publisher that is left alone at the end."""
    alone = 0
    while p.poll() is None and min(killed.values()) < kills:
        time.sleep(random.uniform(0.02, 0.8))
        running = {}
        for pid, role in roles(p).items():
            running.setdefault(role.split(":")[0], []).append(pid)
        alone += len(running) == 1
        if not running or alone > 5:
            continue
        kind = random.choice(sorted(running))
        try:
            os.kill(random.choice(running[kind]), signal.SIGKILL)
            killed[kind] += 1
        except ProcessLookupError:
            pass  # it has just ended


# Rules of every metric and form that this version knows, for determinism and recovery.
EVERYTHING = [
    {"id": "level", "conditions": [{"metric": "price", "operator": ">", "value": 167.5}]},
    {"id": "cross", "trigger": "cross", "cooldown": 0,
     "expr": "change_pct_1m > 0.03 and (rsi(14)@1m > 55 or not volume_5m < 100000)"},
    {"id": "vwap", "trigger": "cross", "cooldown": 5, "expr": "price > vwap(session)"},
    {"id": "ema", "trigger": "cross", "cooldown": 30, "expr": "ema(5) > ema(20) and trade_count_2m >= 3"},
    {"id": "sma", "trigger": "cross", "cooldown": 1, "expr": "price < sma(10) and volume_live > 1000"},
    {"id": "bar", "trigger": "cross", "cooldown": 0, "expr": "close > open and high != low and vwap > 0 and volume > 500"},
    {"id": "live", "cooldown": 60, "expr": "vwap_live > 0 and trade_count_live > 200 and change_5m < -0.01"},
    {"id": "day", "cooldown": 600, "expr": "volume_daily > 1000000 and session == \"market\""},
    {"id": "quote", "trigger": "cross", "cooldown": 10, "expr": "spread > 0.02 and bid > 1 and ask > bid"},
    {"id": "own", "symbols": ["SPY", "S0007", "SIM0007"], "trigger": "cross", "cooldown": 2, "expr": "change_2m > 0.01"},
    {"id": "quiet", "trigger": "cross", "cooldown": 0, "expr": "volume_2m == 0 and volume_60m > 0"},
    {"id": "gap", "trigger": "cross", "cooldown": 60, "expr": "gap_from_close_pct > -100 or change_from_close > -1000000"},
]


def every_metric(cooldown=300):
    """Rules that between them name every metric, at several parameters, and every form of a rule: an alert's operands carry
    the values, so that logs are equal only where all of them are."""
    def named(form, parameters):
        return [form.replace("N", str(n)) for n in parameters] if "N" in form else [form]

    os.environ["RINGTAPE_LIMITS_METRICS"] = "512"  # of what this process starts: these are more than the default
    os.environ["RINGTAPE_BARS_CORRECTIONS"] = "true"  # else those of prints are refused
    names, texts = [], set()
    for m in json.loads(ringtape("metrics", "--json").stdout):
        if m["name"] == "session":
            continue
        if m["unit"] == "text":
            texts.add(m["name"])
        form = m["form"].replace("MA", "ema").replace("M", "9").replace("P", "0.25")
        parameters = (1, 10) if form.endswith("Nd") else (3,) if "minutes" not in m.get("of", "minutes") else (2, 15)
        for timeframe in ("5m", "1d") if "T" in form else ("",):
            names += named(form.replace("T", timeframe), parameters)
    for line in ringtape("indicators", "--list").stdout.splitlines()[1:]:
        indicator, rest = line.split(None, 1)
        outputs = [w for w in line[:56].split()[1:] if w.startswith(".")]
        name = indicator.replace("N", "7")
        names += [f"{name}@1m", f"{name}@5m"] + [f"{name}{o}@2m" for o in outputs]
    some = [f"SIM{i:04d}" for i in range(24)] + ["SPY", "IBM", "BTCUSDT"]
    rows = [{"id": f"m{i}", "expr": name + (' != "none"' if name in texts else " != -12345.5") + " or price > 0", "cooldown": cooldown + i, "symbols": some} for i, name in enumerate(names)]
    for i, trigger in enumerate(("cross", "once", "once_per_bar", "bar_close")):
        rows.append({"id": f"t{i}", "trigger": trigger, "cooldown": 20, "symbols": some,
                     "expr": "(close - sma(5)) / (atr(5) + 0.01) > 0.1 and not session == \"closed\""})
    rows.append({"id": "event", "cooldown": 5, "expr": "price crosses above vwap(session) or price crosses below ema(9)@2m"})
    rows += [{"id": "within", "cooldown": 20, "expr": "price crosses above vwap(session) within 90s and not (volume_1m < 100 within 30s)"},
             {"id": "for", "trigger": "cross", "cooldown": 0, "expr": "rsi(14) > 50 for 3 bars or (change_pct_1m > 0.02 within 5m) for 2 5m bars"},
             {"id": "closes", "trigger": "bar_close", "cooldown": 0, "expr": "close > open for 2 bars and volume > 1000 within 10m"}]
    rows.append({"id": "market", "sessions": ["market"], "cooldown": 60, "expr": "-change_1m * 2 < spread + 0.001 and volume_live > 0"})
    rows.append({"id": "shadow", "mode": "shadow", "expr": "price > 1"})
    rows.append({"id": "expires", "expires_at": "2026-03-02T14:25:00Z", "cooldown": 30, "expr": "price > 0"})
    return rows
