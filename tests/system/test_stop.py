#!/usr/bin/env python3
"""A run that waits for a tick that is far off ends when it is told to, whoever is told."""
from lib import *

ROWS = ["1381240800000000000,A,10,1", "1381240801000000000,A,11,1", "1381242600000000000,A,12,1"]
TOLD = {
    "SIGTERM to the supervisor": lambda p: p.send_signal(signal.SIGTERM),
    "SIGINT to the supervisor": lambda p: p.send_signal(signal.SIGINT),
    "SIGTERM to the whole group": lambda p: os.killpg(p.pid, signal.SIGTERM),
    "SIGINT to the whole group": lambda p: os.killpg(p.pid, signal.SIGINT),
}


def start(d):
    """A run that has made its first alert and waits for the last row, half an hour later."""
    source = write("slow.csv", "ts_ns,symbol,price,size\n" + "\n".join(ROWS) + "\n")
    up = rules("up.json", {"id": "up", "expr": "price > 10", "trigger": "cross"})
    p = subprocess.Popen([BIN, "run", "--source", f"csv:{source}", "--rules", up, "--dir", d, "--summary", d + ".json", "--alerts", d + ".alerts"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(200):
        if os.path.exists(d + ".alerts") and os.path.getsize(d + ".alerts"):
            break
        time.sleep(0.05)
    return p


for name, tell in TOLD.items():
    d = new_dir()
    p = start(d)
    t0 = time.monotonic()
    tell(p)
    try:
        err = p.communicate(timeout=15 * PATIENCE)[1]
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        err = p.communicate()[1]
    seconds = time.monotonic() - t0
    if not ok(p.returncode == 0 and seconds < 5, f"{name}: it ends by itself", f"exit {p.returncode} after {seconds:.1f} s: {err}"):
        continue
    count = json.load(open(d + ".json"))["messages"]
    ok(count["trade"] == 2 and count["end"] == 1, f"{name}: what waited is not counted", count)
    again = ringtape("replay", f"capture:{d}/capture", "--alerts", "-").stdout
    ok(again and again == open(d + ".alerts").read(), f"{name}: its capture gives the same alerts", again)
done()
